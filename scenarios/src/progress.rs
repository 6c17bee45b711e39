//! How long work tells the person who waits, without knowing what a terminal is.

/// Receives the start of each long step.
pub trait Progress: Send + Sync {
    /// A step begins. `length` is its number of units where that is known beforehand.
    fn start(&self, label: &str, length: Option<u64>) -> Box<dyn Task>;
    /// One line worth keeping in the scroll-back, outside any bar.
    fn note(&self, line: &str);
}

/// One running step.
pub trait Task: Send {
    /// `done` units of the length are through.
    fn set(&self, done: u64);
    /// What is going on just now.
    fn message(&self, text: &str);
    /// The step is over; `summary` stays visible.
    fn finish(self: Box<Self>, summary: &str);
}

/// Says nothing: for tests and for JSON output.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _label: &str, _length: Option<u64>) -> Box<dyn Task> {
        Box::new(Silent)
    }
    fn note(&self, _line: &str) {}
}

impl Task for Silent {
    fn set(&self, _done: u64) {}
    fn message(&self, _text: &str) {}
    fn finish(self: Box<Self>, _summary: &str) {}
}
