//! Safe wrapper of libxl, with `xl` as the stated fallback.
