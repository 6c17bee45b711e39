//! Raw bindings to libxl, loaded at run time.
