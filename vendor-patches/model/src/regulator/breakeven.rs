//! `breakeven`: hold while the next frame is worth more than what the frames at hand lose by waiting for it. This
//! project's own.
//!
//! A transfer saved is taken to be worth T0 of one frame's waiting. With n frames in the container, waiting up to x for
//! the next one saves a transfer with probability F(x) and costs n C(x), where F is the distribution of the gaps of this
//! queue and C(x) the mean of the smaller of gap and x. So after every frame the x is taken that has the largest
//! `T0 F(x) phi - n C(x)`, and none, so that the container leaves at once, where that is nowhere above zero. For Poisson
//! traffic this releases at a number of frames instead of a time, which is the best that can be done with a mean; for
//! bursts it waits a gap of the burst and no more; for traffic that is too sparse it does not wait at all.
//!
//! phi is what keeps it honest: of the frames that F promised while containers were held, the share that came. A
//! closed loop, whose next request waits for the very frames that are held, brings phi to zero within some containers.
//! Then nothing is held but a probe now and then, ever more rarely while probes fail.
//!
//! In the kernel: integers only, 110 counters a queue, a table made anew every 32 frames, a short walk for each frame.
//! It is a prediction version of what is known as ski rental and, for acknowledgements, from Dooly, Goldman and Scott
//! ("TCP dynamic acknowledgment delay", STOC 1998).

use super::Regulator;

/// Gaps below 2^7 ns are not told apart.
const LEAST_BITS: u32 = 7;
/// Gaps of 2^34 ns (17 s) and more are silence.
const MOST_BITS: u32 = 34;
/// Each power of two is parted into four.
const PARTS_BITS: u32 = 2;
/// Number of classes of gaps; what is beyond the last is silence.
const CLASSES: usize = ((MOST_BITS - LEAST_BITS) << PARTS_BITS) as usize;
/// When so many gaps are counted, all counts are halved: the past fades.
const FULL: u32 = 1024;
/// The table is made anew after so many samples.
const REFRESH: u32 = 32;
/// One, for phi and what it is made of.
const ONE: u64 = 1 << 16;
/// Of phi's two averages, the weight of the past is 7/8.
const PAST: u64 = 8;
/// Containers between two probes, at first and at most.
const PROBE_FIRST: u32 = 64;
const PROBE_MOST: u32 = 1 << 14;

/// The class of a gap.
#[inline]
fn class(gap: u64) -> usize {
    if gap < 1 << LEAST_BITS {
        return 0;
    }
    let bits = gap.ilog2();
    let part = (gap >> (bits - PARTS_BITS)) & ((1 << PARTS_BITS) - 1);
    (((bits - LEAST_BITS) << PARTS_BITS) as usize + part as usize).min(CLASSES)
}

/// The first gap beyond a class.
#[inline]
const fn end(class: usize) -> u64 {
    let bits = LEAST_BITS + (class >> PARTS_BITS) as u32;
    let part = (class & ((1 << PARTS_BITS) - 1)) as u64;
    (1 << bits) + ((part + 1) << (bits - PARTS_BITS))
}

/// What waiting up to `until` brings and costs, in counted gaps and in counted nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Offer {
    until: u64,
    comes: u64,
    costs: u64,
}

/// Holds while it pays.
#[derive(Debug, Clone)]
pub struct BreakEven {
    /// T0: the cap, and what a transfer is worth.
    hold: u64,
    counts: [u32; CLASSES],
    total: u32,
    fresh: u32,
    /// Offers that are the best for some number of frames, the shortest first.
    best: [Offer; 24],
    bests: usize,
    /// What `best` was made from.
    of: u32,
    /// Averages of what came and what was promised while held, Q16.
    came: u64,
    promised: u64,
    /// The promise in force, Q16.
    promise: Option<u64>,
    /// Containers opened since one was held although phi forbade it, and how many there have to be.
    unheld: u32,
    patience: u32,
    probing: bool,
}

impl BreakEven {
    /// `hold` is T0 in nanoseconds.
    pub fn new(hold: u64) -> Self {
        Self {
            hold,
            counts: [0; CLASSES],
            total: 0,
            fresh: 0,
            best: [Offer::default(); 24],
            bests: 0,
            of: 0,
            came: ONE,
            promised: ONE,
            promise: None,
            unheld: 0,
            patience: PROBE_FIRST,
            probing: false,
        }
    }

    /// Makes the table of offers: the upper hull of (cost, chance), so that what is best for n frames is found by
    /// walking it. Only what T0 allows is looked at.
    fn refresh(&mut self) {
        self.fresh = 0;
        self.of = self.total;
        self.bests = 0;
        let mut came = 0u64;
        let mut spent = 0u64;
        let mut begin = 0;
        for class in 0..CLASSES {
            let until = end(class);
            let count = u64::from(self.counts[class]);
            came += count;
            spent += count * (begin + until) / 2;
            begin = until;
            if count > 0 {
                let offer = Offer {
                    until,
                    comes: came,
                    costs: spent + (u64::from(self.total) - came) * until,
                };
                self.admit(offer);
            }
            if until >= self.hold {
                break;
            }
        }
    }

    /// Puts an offer behind the cheaper ones, and drops those that are now below the hull.
    fn admit(&mut self, offer: Offer) {
        while self.bests > 0 {
            let last = self.best[self.bests - 1];
            let before = if self.bests > 1 {
                self.best[self.bests - 2]
            } else {
                Offer::default()
            };
            // The slope to the last must be steeper than from the last to this one.
            let to = u128::from(last.comes - before.comes) * u128::from(offer.costs - last.costs);
            let from = u128::from(offer.comes - last.comes) * u128::from(last.costs - before.costs);
            if to > from {
                break;
            }
            self.bests -= 1;
        }
        if self.bests < self.best.len() {
            self.best[self.bests] = offer;
            self.bests += 1;
        }
    }

    /// What came of what was promised, Q16.
    fn phi(&self) -> u64 {
        if self.came >= self.promised {
            ONE
        } else {
            self.came * ONE / self.promised
        }
    }

    /// The offer to take with `frames` frames when `left` nanoseconds are allowed, for a transfer worth `worth`.
    fn choose(&self, frames: u32, left: u64, worth: u64) -> Option<Offer> {
        let mut chosen = None;
        let mut gained = 0i128;
        for offer in &self.best[..self.bests] {
            if offer.until > left {
                // What is left of T0 lies between two offers: between them chance goes with cost.
                let gain = Self::gain(*offer, frames, worth);
                return if gain > gained {
                    Some(Offer {
                        until: left,
                        ..*offer
                    })
                } else {
                    chosen
                };
            }
            let gain = Self::gain(*offer, frames, worth);
            if gain <= gained {
                break;
            }
            gained = gain;
            chosen = Some(*offer);
        }
        chosen
    }

    fn gain(offer: Offer, frames: u32, worth: u64) -> i128 {
        i128::from(worth) * i128::from(offer.comes) - i128::from(u64::from(frames) * offer.costs)
    }

    /// One held container's outcome.
    fn learn(&mut self, came: bool) {
        if let Some(promise) = self.promise.take() {
            let came_now = if came { ONE } else { 0 };
            self.came = ((PAST - 1) * self.came + came_now + PAST / 2) / PAST;
            self.promised = ((PAST - 1) * self.promised + promise + PAST / 2) / PAST;
            if self.probing {
                self.patience = if came {
                    PROBE_FIRST
                } else {
                    (self.patience * 2).min(PROBE_MOST)
                };
            }
        }
    }
}

impl Regulator for BreakEven {
    const WAITS_FOR_CONSUMER: bool = true;

    #[inline]
    fn arrive(&mut self, gap: Option<u64>) {
        let Some(gap) = gap else { return };
        let class = class(gap);
        if class < CLASSES {
            self.counts[class] += 1;
        }
        self.total += 1;
        self.fresh += 1;
        if self.total >= FULL {
            self.total = 0;
            for count in &mut self.counts {
                *count /= 2;
                self.total += *count;
            }
            // Silence fades with the rest, by what rounding leaves to it.
        }
        if self.fresh >= REFRESH.min(self.of + 1) {
            self.refresh();
        }
    }

    #[inline]
    fn open(&mut self) {
        self.probing = false;
    }

    #[inline]
    fn deadline(&mut self, now: u64, opened: u64, frames: u32) -> u64 {
        if frames > 1 {
            self.learn(true);
        }
        let left = self.hold.saturating_sub(now.saturating_sub(opened));
        let worth = ((u128::from(self.hold) * u128::from(self.phi())) >> 16) as u64;
        let mut offer = self.choose(frames, left, worth);
        if offer.is_none() && (self.probing || frames == 1) {
            // Would it be held if promises were kept?
            offer = self.choose(frames, left, self.hold);
            if offer.is_some() && !self.probing {
                self.unheld += 1;
                self.probing = self.unheld >= self.patience;
                if self.probing {
                    self.unheld = 0;
                } else {
                    offer = None;
                }
            }
        }
        let wait = offer.map_or(0, |offer| {
            self.promise = Some(offer.comes * ONE / u64::from(self.of.max(1)));
            offer.until
        });
        // The stage caps this too, but at the end of time it would take it for "never".
        now.saturating_add(wait)
            .min(opened.saturating_add(self.hold))
    }

    #[inline]
    fn release(&mut self, _frames: u32, overdue: bool) {
        if overdue {
            self.learn(false);
        }
        self.promise = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn classes_hold_their_gaps(gap in 0u64..1 << MOST_BITS) {
            let class = class(gap);
            prop_assert!(gap < end(class));
            prop_assert!(class == 0 || gap >= end(class - 1));
        }

        #[test]
        fn any_input_is_taken(gaps in prop::collection::vec(any::<u64>(), 1..3000), hold in 1..u64::MAX) {
            let mut regulator = BreakEven::new(hold);
            for (i, gap) in gaps.into_iter().enumerate() {
                regulator.arrive(Some(gap));
                regulator.open();
                let deadline = regulator.deadline(i as u64, 0, 1 + (i % 170) as u32);
                prop_assert!(deadline >= (i as u64).min(hold));
                regulator.release(1, i % 3 == 0);
            }
        }
    }

    #[test]
    fn silence_lies_behind_the_last_class() {
        assert_eq!(class(1 << MOST_BITS), CLASSES);
        assert_eq!(class(u64::MAX), CLASSES);
    }
}
