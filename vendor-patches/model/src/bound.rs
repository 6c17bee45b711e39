//! The least jitter that any receiver could have reached: a bound to hold `playout` against.
//!
//! Jitter here is the largest minus the smallest delay of a stream (not the IPDV of RFC 3393). Mansour and Patt-Shamir
//! (IEEE/ACM Transactions on Networking 9(4), 2001) ask for it for one stream with a buffer of B packets, Hay and Scalosub (ESA 2005; ACM TALG 5(3),
//! 2009) for several that share the buffer, and show that an optimal schedule, all arrivals known, is found in
//! polynomial time. Of their papers only the abstracts were at hand; the method here is our own, for their question: the
//! smallest J for which every stream's delays lie within J, where at most B frames wait at any time.
//!
//! Why it is the smallest. Let a frame be sent at t and come at e. In a stream some frame has a delay of at least E, the
//! largest e - t. If its delays lie within J, each is at least E - J, so no frame leaves before
//! `r(J) = max(e, t + E - J)`. Releasing all at r(J) keeps to J and to the order, and no schedule that keeps to J has
//! fewer frames waiting at any time. So J is possible exactly if r(J) never has more than B waiting; and r(J) falls as J
//! grows, so the smallest J is found by bisection. This needs all frames in memory.

/// One frame: when it was sent and when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    /// Its stream.
    pub stream: u32,
    /// When it was sent: for us, its arrival at the vif.
    pub sent: u64,
    /// When it came: for us, when it was taken out of its container. Not before `sent`.
    pub came: u64,
}

/// The least possible largest jitter of any stream with room for `buffer` frames in all, in nanoseconds. `passages` are in
/// the order in which they came; those of a stream were sent in that order.
pub fn least_jitter(passages: &[Passage], buffer: usize) -> u64 {
    let delays = passages.iter().map(|p| p.came.saturating_sub(p.sent));
    let (mut low, mut high) = (0, delays.max().unwrap_or(0));
    // With J as large as the largest delay nothing waits.
    let mut largest = Vec::new();
    for p in passages {
        let stream = p.stream as usize;
        if largest.len() <= stream {
            largest.resize(stream + 1, 0);
        }
        largest[stream] = p.came.saturating_sub(p.sent).max(largest[stream]);
    }
    let mut leaves = Vec::with_capacity(passages.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if fits(passages, &largest, middle, buffer, &mut leaves) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// Whether at most `buffer` frames wait when each leaves as early as a jitter of `jitter` allows.
fn fits(
    passages: &[Passage],
    largest: &[u64],
    jitter: u64,
    buffer: usize,
    leaves: &mut Vec<u64>,
) -> bool {
    leaves.clear();
    leaves.extend(passages.iter().map(|p| {
        let least = largest[p.stream as usize].saturating_sub(jitter);
        p.came.max(p.sent.saturating_add(least))
    }));
    leaves.sort_unstable();
    let mut left = 0;
    for (here, p) in passages.iter().enumerate() {
        // The last of those that come at one instant sees them all; who leaves by then does not wait.
        if passages
            .get(here + 1)
            .is_some_and(|next| next.came == p.came)
        {
            continue;
        }
        while left < leaves.len() && leaves[left] <= p.came {
            left += 1;
        }
        if here + 1 - left > buffer {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_passages() -> impl Strategy<Value = Vec<Passage>> {
        prop::collection::vec((0u64..20, 0u64..40, 0u32..3), 1..9).prop_map(|frames| {
            let mut sent = 0;
            let mut came = 0;
            frames
                .into_iter()
                .map(|(gap, delay, stream)| {
                    sent += gap;
                    // In order: a frame does not overtake.
                    came = came.max(sent + delay);
                    Passage { stream, sent, came }
                })
                .collect()
        })
    }

    /// Tries every vector of least delays of the streams, on a grid of whole nanoseconds: the J of the best.
    fn exhaustive(passages: &[Passage], buffer: usize) -> u64 {
        // Least delays of the streams decide all: leave at max(came, sent + least).
        let streams = passages.iter().map(|p| p.stream).max().unwrap_or(0) as usize + 1;
        let most = passages.iter().map(|p| p.came - p.sent).max().unwrap_or(0);
        let mut best = u64::MAX;
        let mut least = vec![0u64; streams];
        loop {
            let leaves: Vec<u64> = passages
                .iter()
                .map(|p| p.came.max(p.sent + least[p.stream as usize]))
                .collect();
            let within = passages.iter().all(|p| {
                let waiting = passages
                    .iter()
                    .zip(&leaves)
                    .filter(|(q, leaves)| q.came <= p.came && **leaves > p.came)
                    .count();
                waiting <= buffer
            });
            if within {
                let jitter = (0..streams as u32)
                    .filter_map(|stream| {
                        let delays = || {
                            passages
                                .iter()
                                .zip(&leaves)
                                .filter(move |(p, _)| p.stream == stream)
                                .map(|(p, leaves)| leaves - p.sent)
                        };
                        Some(delays().max()? - delays().min()?)
                    })
                    .max();
                best = best.min(jitter.unwrap_or(0));
            }
            let Some(place) = least.iter().position(|l| *l < most) else {
                return best;
            };
            least[place] += 1;
            least[..place].fill(0);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn nothing_tried_is_better(passages in any_passages(), buffer in 0usize..6) {
            prop_assert_eq!(least_jitter(&passages, buffer), exhaustive(&passages, buffer));
        }

        #[test]
        fn more_room_never_hurts(passages in any_passages(), buffer in 0usize..6) {
            prop_assert!(least_jitter(&passages, buffer + 1) <= least_jitter(&passages, buffer));
        }
    }

    #[test]
    fn one_stream_has_a_closed_form() {
        // J = max(0, max(came - sent) - min over i of (came of i + B - sent of i)).
        let passages: Vec<Passage> = [(0, 10), (5, 30), (7, 31), (20, 60), (22, 61)]
            .map(|(sent, came)| Passage {
                stream: 0,
                sent,
                came,
            })
            .into();
        for buffer in 0..5 {
            let largest = passages.iter().map(|p| p.came - p.sent).max().unwrap_or(0);
            let room =
                (0..passages.len() - buffer).map(|i| passages[i + buffer].came - passages[i].sent);
            let form = largest.saturating_sub(room.min().unwrap_or(u64::MAX));
            assert_eq!(least_jitter(&passages, buffer), form, "{buffer}");
        }
        assert_eq!(least_jitter(&[], 3), 0);
    }
}
