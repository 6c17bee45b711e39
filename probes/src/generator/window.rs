//! When the generator sends, and when what it does is measured. Times are nanoseconds of `CLOCK_REALTIME`.

/// When to send, in `CLOCK_REALTIME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// No packet is due before this.
    pub start_ns: u64,
    /// No packet is due at or after this.
    pub stop_ns: u64,
    /// A generator that fell behind gives up here.
    pub give_up_ns: u64,
}

/// When a loop runs, and what of it is measured.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Start and end.
    pub window: Window,
    /// What happens from here to the stop time counts.
    pub measure_from_ns: u64,
}

impl Times {
    /// Whether what happens at this time counts.
    pub fn is_measured(&self, at_ns: u64) -> bool {
        (self.measure_from_ns..self.window.stop_ns).contains(&at_ns)
    }

    /// How much of the measured part is over when something ended at this time.
    pub fn measured_ns(&self, ended_ns: u64) -> u64 {
        ended_ns
            .min(self.window.stop_ns)
            .saturating_sub(self.measure_from_ns)
    }
}
