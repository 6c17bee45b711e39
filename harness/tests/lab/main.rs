//! The whole program on a real Xen host: the virtual lab. Those that log in run alone, those that only run sealed trials two
//! at a time (see `.config/nextest.toml`); each test has a lab and a state folder of its own, the booted machine comes from the shared
//! cache.

mod bisect;
mod faults;
mod interruptions;
mod matrix;
mod nights;
mod runs;
mod sealing;
mod support;
