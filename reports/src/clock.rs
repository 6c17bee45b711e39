//! From each host's own clock to the reference clock, and how far the truth may lie from it.

use vifbench_store::ClockMap;
use vifbench_wire::protocol::Point;

/// Local times of one host on the reference clock.
#[derive(Debug, Clone)]
pub struct HostClock {
    map: Option<ClockMap>,
}

impl HostClock {
    /// The clock of `host`. Without a map its times stay as they are, and no bound is claimed.
    pub fn of(clocks: &[ClockMap], host: &str) -> Self {
        Self {
            map: clocks.iter().find(|c| c.host == host).cloned(),
        }
    }

    /// The reference time of a local time, both in nanoseconds.
    ///
    /// Only the correction goes through floating point: nanoseconds since 1970 do not fit an `f64` exactly.
    pub fn to_reference(&self, local_ns: i64) -> i64 {
        let Some(map) = &self.map else {
            return local_ns;
        };
        let elapsed = i128::from(local_ns) - i128::from(map.at_ns);
        let correction = map.offset_ns + map.skew * elapsed as f64;
        local_ns.saturating_sub(correction.round() as i64)
    }

    /// How far from the truth a reference time may lie; none when no bound can be claimed.
    pub fn bound_ns(&self) -> Option<f64> {
        let map = self.map.as_ref()?;
        if map.method == "reference" {
            // The reference is right by definition.
            return Some(0.0);
        }
        map.bound_ns.filter(|b| b.is_finite() && *b >= 0.0)
    }

    /// `reference`, `shared-tsc`, `two-way`; none without a map.
    pub fn method(&self) -> Option<&str> {
        self.map.as_ref().map(|m| m.method.as_str())
    }
}

/// Stamps by a host's own clock.
const HOST: &str = "host";

/// One end of a hop: on which host, and how fine its stamps are.
#[derive(Debug, Clone)]
pub struct End {
    /// Where on the path.
    pub point: Point,
    /// Whose clock stamps there.
    pub host: String,
    /// Who stamps: `host`, or `adapter` with the number of its clock.
    pub source: String,
    /// Stamps resolve nanoseconds; otherwise microseconds.
    pub nanoseconds: bool,
    /// That host's bound to the reference.
    pub bound_ns: Option<f64>,
}

/// Error bound of a time difference between two ends, rounded up to whole nanoseconds.
///
/// Two stamps of one host share their clock, so its error cancels. Between hosts the errors add up at worst.
/// Stamps cut to microseconds add one microsecond. A NIC's clock is another than its host's: nothing can be claimed between
/// the two, nor between NICs of different hosts, whose exchanges tell of the hosts' clocks only.
pub fn hop_bound(from: &End, to: &End) -> Option<i64> {
    let clocks = if from.source != to.source || (from.source != HOST && from.host != to.host) {
        return None;
    } else if from.host == to.host {
        0.0
    } else {
        from.bound_ns? + to.bound_ns?
    };
    let resolution = if from.nanoseconds && to.nanoseconds {
        0
    } else {
        1000
    };
    Some(clocks.ceil() as i64 + resolution)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(method: &str, offset_ns: f64, skew: f64, bound_ns: Option<f64>) -> ClockMap {
        ClockMap {
            host: "u1".into(),
            offset_ns,
            skew,
            at_ns: 1_800_000_000_000_000_000,
            bound_ns,
            method: method.into(),
            two_way: None,
        }
    }

    #[test]
    fn keeps_every_nanosecond_of_a_time_since_1970() {
        let clock = HostClock::of(&[map("two-way", 128_000_001.0, 0.0, Some(10.0))], "u1");
        assert_eq!(
            clock.to_reference(1_800_000_000_128_000_008),
            1_800_000_000_000_000_007
        );
    }

    #[test]
    fn skew_counts_from_where_the_offset_holds() {
        let clock = HostClock::of(&[map("two-way", 100.0, 1e-6, Some(10.0))], "u1");
        let second = 1_000_000_000;
        assert_eq!(
            clock.to_reference(1_800_000_000_000_000_000 + second),
            1_800_000_000_000_000_000 + second - 100 - 1000
        );
    }

    #[test]
    fn a_host_without_a_map_claims_nothing() {
        let clock = HostClock::of(&[], "u1");
        assert_eq!(clock.to_reference(5), 5);
        assert_eq!(clock.bound_ns(), None);
        assert_eq!(clock.method(), None);
    }

    #[test]
    fn bounds_add_between_hosts_and_cancel_within_one() {
        let end = |host: &str, nanoseconds, bound_ns| End {
            point: Point::Vif,
            host: host.into(),
            source: "host".into(),
            nanoseconds,
            bound_ns,
        };
        let stamped = |host: &str, source: &str| End {
            source: source.into(),
            ..end(host, true, Some(0.0))
        };
        let dom0 = end("dom0", true, Some(0.0));
        assert_eq!(hop_bound(&dom0, &end("dom0", true, Some(0.0))), Some(0));
        assert_eq!(hop_bound(&dom0, &end("u1", true, Some(250.5))), Some(251));
        assert_eq!(hop_bound(&dom0, &end("u1", false, Some(250.0))), Some(1250));
        assert_eq!(hop_bound(&dom0, &end("u1", true, None)), None);
        // One capture host with two ports of one NIC: one clock.
        let port = stamped("dom0", "adapter 0");
        assert_eq!(hop_bound(&port, &stamped("dom0", "adapter 0")), Some(0));
        assert_eq!(hop_bound(&port, &stamped("dom0", "adapter 1")), None);
        assert_eq!(hop_bound(&port, &dom0), None);
        assert_eq!(hop_bound(&port, &stamped("u1", "adapter 0")), None);
        assert_eq!(
            hop_bound(&end("u1", true, None), &end("u1", true, None)),
            Some(0)
        );
    }
}
