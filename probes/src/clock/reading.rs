//! Readings of this host's clocks, bracketed by the time-stamp counter.

use nix::time::{ClockId, clock_gettime};
use vifbench_wire::protocol::ClockReading;

/// How often a reading is tried; the one with the narrowest bracket is kept.
const TRIES: u32 = 50;

fn read(clock: ClockId) -> u64 {
    // Both clocks that are read here exist on every Linux: this cannot fail.
    let time = clock_gettime(clock).expect("the kernel has CLOCK_REALTIME and CLOCK_MONOTONIC");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// `CLOCK_REALTIME` in nanoseconds since 1970.
pub fn realtime_ns() -> u64 {
    read(ClockId::CLOCK_REALTIME)
}

/// `CLOCK_MONOTONIC` in nanoseconds.
pub fn monotonic_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// The time-stamp counter, after everything before it has happened and before anything after it.
#[cfg(target_arch = "x86_64")]
fn tsc() -> u64 {
    use std::arch::x86_64::{_mm_lfence, _rdtsc};
    #[expect(unsafe_code, reason = "reading the time-stamp counter is an intrinsic")]
    // SAFETY: both instructions exist on every x86-64 CPU (SSE2) and touch no memory of ours.
    unsafe {
        _mm_lfence();
        let ticks = _rdtsc();
        _mm_lfence();
        ticks
    }
}

/// Without a time-stamp counter the bracket is told as 0..0, which no estimator takes for a shared counter.
#[cfg(not(target_arch = "x86_64"))]
fn tsc() -> u64 {
    0
}

/// Reads the clocks, between two reads of the time-stamp counter that lie as close together as they would come.
pub fn read_clocks() -> ClockReading {
    let once = || {
        let tsc_before = tsc();
        let realtime_ns = realtime_ns();
        let tsc_after = tsc();
        ClockReading {
            tsc_before,
            realtime_ns,
            monotonic_ns: monotonic_ns(),
            tsc_after,
        }
    };
    (1..TRIES).map(|_| once()).fold(once(), |best, next| {
        if next.tsc_after - next.tsc_before < best.tsc_after - best.tsc_before {
            next
        } else {
            best
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_go_forward() {
        let (first, second) = (read_clocks(), read_clocks());
        assert!(first.tsc_before <= first.tsc_after);
        assert!(first.tsc_after <= second.tsc_before);
        assert!(first.realtime_ns < second.realtime_ns);
        assert!(first.monotonic_ns < second.monotonic_ns);
        // 2020 to 2100.
        assert!(
            (1_577_836_800_000_000_000..4_102_444_800_000_000_000).contains(&first.realtime_ns)
        );
    }
}
