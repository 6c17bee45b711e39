//! When packets are due and how long they are, by shape: each a pure function of its parameters and a seed, the same on
//! every machine.
//!
//! The generator of a lab and the model's simulator both draw from here, so that a simulation has the packets of a run.

mod bursts;
mod cbr;
mod on_off;
mod poisson;
mod ramp;
mod replay;
mod sizes;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use thiserror::Error;

pub use bursts::Bursts;
pub use cbr::Cbr;
pub use on_off::{BurstError, OnOff};
pub use poisson::Poisson;
pub use ramp::Ramp;
pub use replay::Captured;
pub use sizes::{Mix, Sizes};

use crate::arrivals::Arrivals;
use crate::units::{Rate, Span};

/// A number in (0, 1], from the upper 53 bits of a word.
#[inline]
fn unit(random: &mut ChaCha8Rng) -> f64 {
    ((random.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
}

/// When the first requests of a closed loop are sent: spread over one round trip at random, in no order.
pub fn first_requests(round_trip: Span, requests: u64, seed: u64) -> Vec<u64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..requests)
        .map(|_| ((1.0 - unit(&mut random)) * round_trip.nanos() as f64) as u64)
        .collect()
}

/// Why packets cannot be spaced.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum TimingError {
    /// A rate of zero has no gaps.
    #[error("it has a rate of 0/s: no packet would ever be due; give it a rate above zero")]
    NoRate,
    /// Bursts that cannot be.
    #[error(transparent)]
    Bursts(#[from] BurstError),
}

/// The times of a flow that are known before anything is sent.
#[derive(Debug, Clone)]
pub enum Timing {
    /// Equal gaps.
    Cbr(Cbr),
    /// Exponential gaps.
    Poisson(Box<Poisson>),
    /// Bursts and silences.
    OnOff(Box<OnOff>),
    /// Equal bursts.
    Bursts(Box<Bursts>),
    /// A rate that changes.
    Ramp(Box<Ramp>),
}

impl Timing {
    /// The times of a flow; none where something else decides them: answers, the sender's speed, or a capture.
    ///
    /// # Errors
    /// When no packets can be spaced so.
    pub fn of(arrivals: &Arrivals, seed: u64) -> Result<Option<Self>, TimingError> {
        let positive = |rate: Rate| {
            if rate == Rate::default() {
                Err(TimingError::NoRate)
            } else {
                Ok(rate)
            }
        };
        Ok(Some(match arrivals {
            Arrivals::Cbr { rate } => Self::Cbr(Cbr::new(positive(*rate)?, seed)),
            Arrivals::Poisson { rate } => {
                Self::Poisson(Box::new(Poisson::new(positive(*rate)?, seed)))
            }
            Arrivals::OnOff {
                rate,
                peak,
                burst,
                shape,
            } => {
                let (rate, peak) = (positive(*rate)?.per_sec_f64(), peak.per_sec_f64());
                Self::OnOff(Box::new(OnOff::new(rate, peak, *burst, *shape, seed)?))
            }
            Arrivals::Bursts { rate, burst, peak } => {
                let peak = peak.map(positive).transpose()?;
                Self::Bursts(Box::new(Bursts::new(positive(*rate)?, *burst, peak, seed)))
            }
            Arrivals::Ramp { from, to, over } => {
                positive(*from.max(to))?;
                Self::Ramp(Box::new(Ramp::new(*from, *to, *over, seed)))
            }
            Arrivals::Saturate { .. }
            | Arrivals::ClosedLoop { .. }
            | Arrivals::Trace { .. }
            | Arrivals::TcpRr { .. }
            | Arrivals::TcpBulk { .. } => return Ok(None),
        }))
    }

    /// When the next packet is due, in nanoseconds from the start.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        match self {
            Self::Cbr(cbr) => cbr.draw(),
            Self::Poisson(poisson) => poisson.draw(),
            Self::OnOff(bursts) => bursts.draw(),
            Self::Bursts(bursts) => bursts.draw(),
            Self::Ramp(ramp) => ramp.draw(),
        }
    }
}
