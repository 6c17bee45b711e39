//! Whatever a lab starts on the controller begins under one lock, so that whoever ends a lab misses nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held while a machine, its namespace or a build begins: until its number is known, nobody could end it.
static STARTING: Mutex<()> = Mutex::new(());

/// Waits until nothing is just beginning; nothing begins while the guard lives.
pub fn hold_starts() -> MutexGuard<'static, ()> {
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}
