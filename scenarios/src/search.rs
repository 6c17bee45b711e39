//! Throughput search: the highest rate at which no more than a share of the packets is lost.
//!
//! RFC 2544, section 26.1, asks for the highest rate without loss and leaves open how it is found. This is a binary search
//! in the terms of RFC 9971 (`MLRsearch`): every *load* that was tried is a lower bound, an upper bound or undecided for a
//! *goal*; the *relevant upper bound* is the smallest load that is an upper bound, and the *relevant lower bound* the
//! largest below it that is a lower bound. So a rate that passes by luck above one that fails does not count. All goals
//! share all trials.
//!
//! The search is a function of the trials so far: a run that was killed goes on where it was.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::{Rate, UnitError};

/// A part of a whole, kept in parts per billion so that it hashes exactly: `0.5 %`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Share(u32);

impl Share {
    const WHOLE: f64 = 1e9;

    /// From parts per million.
    pub const fn from_ppm(ppm: u32) -> Self {
        Self(ppm * 1000)
    }

    /// As a part of 1.
    pub fn of_one(self) -> f64 {
        f64::from(self.0) / Self::WHOLE
    }
}

impl FromStr for Share {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let missing = || UnitError::Missing {
            text: text.to_owned(),
            example: "`0.5 %`",
        };
        let number = text.trim().strip_suffix('%').ok_or_else(missing)?;
        let percent: f64 = number.trim().parse().map_err(|_| UnitError::NotANumber {
            text: text.to_owned(),
            example: "`0.5 %`",
        })?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(UnitError::Range {
                text: text.to_owned(),
                fault: "no part of a whole",
                mend: "use 0 % to 100 %",
            });
        }
        Ok(Self((percent / 100.0 * Self::WHOLE).round() as u32))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.of_one() * 100.0)
    }
}

impl TryFrom<String> for Share {
    type Error = UnitError;
    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        share.to_string()
    }
}

/// What is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// Non-drop rate: RFC 2544's throughput, no packet lost.
    Ndr,
    /// Partial drop rate: at most `loss` of the packets lost.
    Pdr,
}

impl Goal {
    /// As it is written in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ndr => "NDR",
            Self::Pdr => "PDR",
        }
    }
}

/// `search:` of a scenario. The rate is that of each flow, as in a sweep; `blocks` trials are made of each load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// What is searched for.
    #[serde(default = "both")]
    pub find: Vec<Goal>,
    /// The most that may be lost at a partial drop rate (RFC 9971: goal loss ratio).
    #[serde(default = "half_a_percent")]
    pub loss: Share,
    /// How many of a load's trials may lose more than that, and the load still pass (RFC 9971: goal exceed ratio). None, as
    /// RFC 2544 has it, unless told.
    #[serde(default)]
    pub exceed: Share,
    /// The search ends when the bounds are no further apart than this part of the upper one (RFC 9971: goal width).
    #[serde(default = "one_percent")]
    pub resolution: Share,
    /// The lowest rate worth knowing.
    pub min: Rate,
    /// The highest: that of the line, or of the generator.
    pub max: Rate,
}

fn both() -> Vec<Goal> {
    vec![Goal::Ndr, Goal::Pdr]
}

fn half_a_percent() -> Share {
    Share::from_ppm(5000)
}

fn one_percent() -> Share {
    Share::from_ppm(10_000)
}

/// One trial of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// The load, of each flow.
    pub rate: Rate,
    /// Packets that were due. Those that the generator did not send are lost too: a load that was not offered was not
    /// borne.
    pub due: u64,
    /// Of them, those that did not arrive.
    pub lost: u64,
    /// Of the lost, those that the generator did not send.
    pub unsent: u64,
}

impl Tried {
    /// Lost by due.
    pub fn loss(&self) -> f64 {
        if self.due == 0 {
            0.0
        } else {
            self.lost as f64 / self.due as f64
        }
    }
}

/// What the trials say of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// It is borne.
    Lower,
    /// It is not.
    Upper,
    /// More trials are needed.
    Open,
}

/// What was found for a goal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// What was searched for.
    pub goal: Goal,
    /// The highest load that is borne; none where not even the lowest is.
    pub lower: Option<Rate>,
    /// The lowest that is not; none where the highest is borne.
    pub upper: Option<Rate>,
    /// Packets a second that arrive at the lower bound, of each flow (RFC 9971: conditional throughput).
    pub forwarded: Option<f64>,
    /// Not all trials of it could be made.
    pub unfinished: bool,
}

impl Search {
    /// The share of the packets that a goal lets be lost.
    pub fn allowed(&self, goal: Goal) -> Share {
        match goal {
            Goal::Ndr => Share::default(),
            Goal::Pdr => self.loss,
        }
    }

    /// What `trials` trials of each load say of one, for a goal.
    pub fn bound(&self, goal: Goal, rate: Rate, trials: u32, tried: &[Tried]) -> Bound {
        let allowed = self.allowed(goal).of_one();
        let of_it = || tried.iter().filter(|t| t.rate == rate);
        let bad = of_it().filter(|t| t.loss() > allowed).count() as u64;
        let good = of_it().count() as u64 - bad;
        let may_be_bad = (f64::from(trials) * self.exceed.of_one()).floor() as u64;
        if bad > may_be_bad {
            Bound::Upper
        } else if good + may_be_bad >= u64::from(trials) {
            Bound::Lower
        } else {
            Bound::Open
        }
    }

    /// The load to try next, or none when everything is found.
    pub fn next(&self, trials: u32, tried: &[Tried]) -> Option<Rate> {
        self.find
            .iter()
            .find_map(|goal| self.next_for(*goal, trials, tried))
    }

    /// What is known of every goal.
    pub fn found(&self, trials: u32, tried: &[Tried]) -> Vec<Found> {
        let found = |goal: &Goal| {
            let (lower, upper) = self.bounds(*goal, trials, tried);
            let forwarded = lower.map(|rate| {
                let of_it = || tried.iter().filter(|t| t.rate == rate);
                let mean = of_it().map(Tried::loss).sum::<f64>() / of_it().count() as f64;
                rate.per_sec_f64() * (1.0 - mean)
            });
            Found {
                goal: *goal,
                lower,
                upper,
                forwarded,
                unfinished: self.next_for(*goal, trials, tried).is_some(),
            }
        };
        self.find.iter().map(found).collect()
    }

    /// The relevant bounds of a goal.
    fn bounds(&self, goal: Goal, trials: u32, tried: &[Tried]) -> (Option<Rate>, Option<Rate>) {
        let of = |wanted: Bound| {
            tried
                .iter()
                .map(|t| t.rate)
                .filter(move |rate| self.bound(goal, *rate, trials, tried) == wanted)
        };
        let upper = of(Bound::Upper).min();
        let lower = of(Bound::Lower)
            .filter(|rate| upper.is_none_or(|upper| *rate < upper))
            .max();
        (lower, upper)
    }

    fn next_for(&self, goal: Goal, trials: u32, tried: &[Tried]) -> Option<Rate> {
        let (lower, upper) = self.bounds(goal, trials, tried);
        let Some(upper) = upper else {
            return (lower != Some(self.max)).then_some(self.max);
        };
        // What was begun between the bounds is decided first.
        let open = tried.iter().map(|t| t.rate).filter(|rate| {
            *rate < upper
                && lower.is_none_or(|lower| *rate > lower)
                && self.bound(goal, *rate, trials, tried) == Bound::Open
        });
        if let Some(rate) = open.max() {
            return Some(rate);
        }
        let Some(lower) = lower else {
            return self.descend(upper, tried);
        };
        let width = (upper.per_sec_f64() - lower.per_sec_f64()) / upper.per_sec_f64();
        if width <= self.resolution.of_one() {
            return None;
        }
        between(lower, upper)
    }

    /// Nothing is borne so far.
    fn descend(&self, upper: Rate, tried: &[Tried]) -> Option<Rate> {
        if upper <= self.min {
            return None;
        }
        if upper == self.max {
            // What got through at the highest load is a good guess at what can.
            let most = tried
                .iter()
                .filter(|t| t.rate == upper)
                .map(|t| upper.per_sec_f64() * (1.0 - t.loss()))
                .fold(0.0, f64::max);
            let guess = Rate::per_sec(most.floor() as u64);
            let limit = upper.per_sec_f64() * (1.0 - self.resolution.of_one());
            if guess > self.min && guess.per_sec_f64() <= limit {
                return Some(guess);
            }
        }
        let close = self.min.per_sec_f64() * (1.0 + self.resolution.of_one());
        let middle = between(self.min, upper).filter(|rate| rate.per_sec_f64() > close);
        Some(middle.unwrap_or(self.min))
    }
}

/// The geometric middle in whole packets a second, strictly between both; none where there is no such.
fn between(lower: Rate, upper: Rate) -> Option<Rate> {
    let middle = (lower.per_sec_f64() * upper.per_sec_f64()).sqrt();
    let rate = Rate::per_sec(middle.round() as u64);
    (lower < rate && rate < upper).then_some(rate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn search(min: u64, max: u64, loss_ppm: u32, resolution_ppm: u32) -> Search {
        Search {
            find: both(),
            loss: Share::from_ppm(loss_ppm),
            exceed: Share::default(),
            resolution: Share::from_ppm(resolution_ppm),
            min: Rate::per_sec(min),
            max: Rate::per_sec(max),
        }
    }

    /// Runs a search against a machine that loses what exceeds its capacity, which may differ from trial to trial.
    fn run(search: &Search, trials: u32, mut capacity: impl FnMut() -> f64) -> Vec<Tried> {
        const SECONDS: f64 = 10.0;
        let mut tried = Vec::new();
        while let Some(rate) = search.next(trials, &tried) {
            assert!(search.min <= rate && rate <= search.max, "{rate}");
            let due = (rate.per_sec_f64() * SECONDS) as u64;
            let borne = (capacity() * SECONDS) as u64;
            tried.push(Tried {
                rate,
                due,
                lost: due.saturating_sub(borne),
                unsent: 0,
            });
            assert!(tried.len() < 2000, "the search does not end");
        }
        tried
    }

    #[test]
    fn shares_as_people_write_them() {
        assert_eq!("0.5 %".parse(), Ok(Share::from_ppm(5000)));
        assert_eq!("0%".parse(), Ok(Share::default()));
        assert_eq!(Share::from_ppm(5000).to_string(), "0.5 %");
        for wrong in ["", "5", "-1 %", "nan %", "101 %", "x %"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_ends_of_the_range_are_told_as_such() {
        let asked = search(100, 1000, 5000, 10_000);
        let all = asked.found(1, &run(&asked, 1, || 1e9));
        assert!(
            all.iter()
                .all(|f| f.lower == Some(asked.max) && f.upper.is_none())
        );
        let none = asked.found(1, &run(&asked, 1, || 1.0));
        assert!(
            none.iter()
                .all(|f| f.lower.is_none() && f.upper == Some(asked.min))
        );
    }

    #[test]
    fn a_load_that_passes_above_one_that_fails_does_not_count() {
        let asked = search(100, 1000, 0, 10_000);
        let tried = |rate, lost| Tried {
            rate: Rate::per_sec(rate),
            due: 1000,
            lost,
            unsent: 0,
        };
        let seen = [tried(1000, 5), tried(700, 0), tried(500, 1), tried(300, 0)];
        let (lower, upper) = asked.bounds(Goal::Ndr, 1, &seen);
        assert_eq!(
            (lower, upper),
            (Some(Rate::per_sec(300)), Some(Rate::per_sec(500)))
        );
    }

    #[test]
    fn trials_that_may_exceed_are_borne() {
        let asked = Search {
            exceed: "50 %".parse().unwrap(),
            ..search(100, 1000, 0, 10_000)
        };
        let tried = |lost| Tried {
            rate: Rate::per_sec(500),
            due: 1000,
            lost,
            unsent: 0,
        };
        let bound = |lost: &[u64]| {
            let tried: Vec<_> = lost.iter().map(|n| tried(*n)).collect();
            asked.bound(Goal::Ndr, Rate::per_sec(500), 4, &tried)
        };
        assert_eq!(bound(&[1, 1]), Bound::Open);
        assert_eq!(bound(&[1, 0, 0]), Bound::Lower);
        assert_eq!(bound(&[1, 1, 1]), Bound::Upper);
    }

    proptest! {
        #[test]
        fn the_truth_lies_between_the_bounds(
            capacity in 50.0..200_000.0f64, loss_ppm in 0u32..20_000, resolution_ppm in 500u32..50_000, trials in 1u32..4,
        ) {
            let asked = search(100, 100_000, loss_ppm, resolution_ppm);
            let tried = run(&asked, trials, || capacity);
            for found in asked.found(trials, &tried) {
                prop_assert!(!found.unfinished);
                // Due and borne packets are counted in whole ones, over ten seconds.
                let truth = capacity / (1.0 - asked.allowed(found.goal).of_one());
                let slack = 0.5 + truth * 1e-5;
                if let Some(lower) = found.lower {
                    prop_assert!(lower.per_sec_f64() <= truth + slack, "{found:?} {truth}");
                }
                if let Some(upper) = found.upper {
                    prop_assert!(upper.per_sec_f64() >= truth - slack, "{found:?} {truth}");
                }
                if let (Some(lower), Some(upper)) = (found.lower, found.upper) {
                    let (lower, upper) = (lower.per_sec_f64(), upper.per_sec_f64());
                    prop_assert!(upper - lower <= upper * asked.resolution.of_one() || upper - lower <= 1.0);
                }
            }
            // Halving from 1,000 times the lowest rate to the finest resolution takes 14 loads a goal.
            prop_assert!(tried.len() <= 2 * 20 * trials as usize, "{} trials", tried.len());
        }

        /// A machine that bears now more, now less: what is found lies in the range of what it bore.
        #[test]
        fn noise_does_not_lead_the_search_astray(
            capacity in 500.0..50_000.0f64, spread in 0.0..0.05f64, trials in 1u32..4, noise: u64,
        ) {
            let asked = search(100, 100_000, 5000, 10_000);
            let mut state = noise;
            let tried = run(&asked, trials, || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let part = (state >> 11) as f64 / (1u64 << 53) as f64;
                capacity * (1.0 - spread * part)
            });
            for found in asked.found(trials, &tried) {
                let allowed = asked.allowed(found.goal).of_one();
                let (least, most) = (capacity * (1.0 - spread) / (1.0 - allowed), capacity / (1.0 - allowed));
                let lower = found.lower.unwrap().per_sec_f64();
                let upper = found.upper.unwrap().per_sec_f64();
                prop_assert!(lower <= most + 1.0 && upper >= least - 1.0, "{found:?} {least} {most}");
                prop_assert!(upper - lower <= upper * 0.01 || upper - lower <= 1.0);
            }
        }

        /// A killed run goes on where it was: the next load depends on nothing but the trials.
        #[test]
        fn the_next_load_is_a_function_of_the_trials(capacity in 200.0..90_000.0f64, cut: prop::sample::Index) {
            let asked = search(100, 100_000, 5000, 10_000);
            let tried = run(&asked, 2, || capacity);
            let cut = cut.index(tried.len());
            prop_assert_eq!(asked.next(2, &tried[..cut]), Some(tried[cut].rate));
        }
    }
}
