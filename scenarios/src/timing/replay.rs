//! The frames of a capture, at their own times or faster or slower.

/// One frame of a capture that is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured {
    /// Nanoseconds since the first frame of the capture.
    pub at: u64,
    /// Its length on the wire, without FCS.
    pub len: u32,
}

impl Captured {
    /// The same frame where time runs `speed` times as fast.
    #[must_use]
    pub fn at_speed(self, speed: f64) -> Self {
        Self {
            at: scaled(self.at, speed),
            ..self
        }
    }
}

/// A time of a capture where time runs `speed` times as fast; exact at its own speed.
#[allow(clippy::float_cmp)] // 1 is written as 1
fn scaled(at: u64, speed: f64) -> u64 {
    if speed == 1.0 {
        at
    } else {
        (at as f64 / speed + 0.5) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_divides_times() {
        let frame = Captured {
            at: u64::MAX / 2 - 1,
            len: 60,
        };
        assert_eq!(frame.at_speed(1.0), frame);
        let frame = Captured { at: 3001, len: 60 };
        assert_eq!(frame.at_speed(2.0).at, 1501);
        assert_eq!(frame.at_speed(0.5).at, 6002);
    }
}
