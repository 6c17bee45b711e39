//! What the consumer costs: `c0` for each transfer and `c1` for each packet in it, and how both are found from
//! measurements.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The time that dom0 works on a transfer of N packets: `c0 + c1 N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Service {
    /// Picoseconds a transfer.
    pub transfer_ps: u64,
    /// Picoseconds a packet.
    pub packet_ps: u64,
}

impl Service {
    /// From nanoseconds.
    pub const fn from_nanos(transfer: u64, packet: u64) -> Self {
        Self {
            transfer_ps: transfer * 1000,
            packet_ps: packet * 1000,
        }
    }

    /// Whether it takes any time at all.
    pub fn is_free(self) -> bool {
        self == Self::default()
    }

    /// For a transfer of so many packets, in nanoseconds.
    #[inline]
    pub fn nanos(self, packets: u32) -> u64 {
        let packets = self.packet_ps.saturating_mul(u64::from(packets));
        self.transfer_ps.saturating_add(packets).saturating_add(500) / 1000
    }
}

/// One measurement: the mean work on a packet where transfers hold so many in the mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Packets a transfer, 1 or more.
    pub packets_per_transfer: f64,
    /// Work of dom0, in nanoseconds a packet.
    pub ns_per_packet: f64,
    /// How much it counts, as its number of packets.
    pub weight: f64,
}

/// Why no constants follow from measurements.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum FitError {
    /// Too few.
    #[error(
        "{0} usable measurements are too few: two trials with different numbers of packets a transfer are needed"
    )]
    TooFew(usize),
    /// They do not differ in what they should differ in.
    #[error(
        "all measurements have about {0:.2} packets a transfer, so the cost of a transfer cannot be told from the cost of a packet: add variants or rates that aggregate differently"
    )]
    Alike(f64),
    /// The best line has a cost below zero.
    #[error(
        "the measurements give {transfer_ns:.0} ns a transfer and {packet_ns:.0} ns a packet, which cannot be: they are too noisy, or other work changes with the rate"
    )]
    Negative {
        /// c0.
        transfer_ns: f64,
        /// c1.
        packet_ns: f64,
    },
}

/// Fits `ns a packet = c1 + c0 / N` by weighted least squares.
///
/// # Errors
/// When the measurements are too few, too alike, or give a negative cost.
pub fn fit(measured: &[Measured]) -> Result<Service, FitError> {
    let usable: Vec<(f64, f64, f64)> = measured
        .iter()
        .filter(|m| {
            m.packets_per_transfer.is_finite()
                && m.packets_per_transfer >= 1.0
                && m.ns_per_packet.is_finite()
                && m.weight.is_finite()
                && m.weight > 0.0
        })
        .map(|m| (1.0 / m.packets_per_transfer, m.ns_per_packet, m.weight))
        .collect();
    if usable.len() < 2 {
        return Err(FitError::TooFew(usable.len()));
    }
    let total: f64 = usable.iter().map(|(_, _, w)| w).sum();
    let x_mean = usable.iter().map(|(x, _, w)| x * w).sum::<f64>() / total;
    let y_mean = usable.iter().map(|(_, y, w)| y * w).sum::<f64>() / total;
    let xx: f64 = usable
        .iter()
        .map(|(x, _, w)| w * (x - x_mean) * (x - x_mean))
        .sum();
    let xy: f64 = usable
        .iter()
        .map(|(x, y, w)| w * (x - x_mean) * (y - y_mean))
        .sum();
    // A spread below a hundredth of the mean decides nothing.
    if xx / total < (0.01 * x_mean) * (0.01 * x_mean) {
        return Err(FitError::Alike(1.0 / x_mean));
    }
    let transfer_ns = xy / xx;
    let packet_ns = y_mean - transfer_ns * x_mean;
    if transfer_ns < 0.0 || packet_ns < 0.0 {
        return Err(FitError::Negative {
            transfer_ns,
            packet_ns,
        });
    }
    Ok(Service {
        transfer_ps: (transfer_ns * 1000.0 + 0.5) as u64,
        packet_ps: (packet_ns * 1000.0 + 0.5) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(n: f64, ns: f64) -> Measured {
        Measured {
            packets_per_transfer: n,
            ns_per_packet: ns,
            weight: 1000.0,
        }
    }

    #[test]
    fn finds_the_constants_of_its_own_formula() {
        let truth = |n: f64| 1000.0 + 8000.0 / n;
        let points: Vec<_> = [1.0, 1.2, 3.0, 21.0, 64.0]
            .map(|n| measured(n, truth(n)))
            .into();
        let found = fit(&points).unwrap();
        assert_eq!(found, Service::from_nanos(8000, 1000));
        assert_eq!(found.nanos(64), 72_000);
    }

    #[test]
    fn says_what_is_missing() {
        assert_eq!(fit(&[measured(1.0, 5.0)]), Err(FitError::TooFew(1)));
        assert_eq!(
            fit(&[measured(f64::NAN, 5.0), measured(1.0, 5.0)]),
            Err(FitError::TooFew(1))
        );
        assert!(matches!(
            fit(&[measured(2.0, 5.0), measured(2.0, 6.0)]),
            Err(FitError::Alike(_))
        ));
        assert!(matches!(
            fit(&[measured(1.0, 5.0), measured(2.0, 50.0)]),
            Err(FitError::Negative { .. })
        ));
    }
}
