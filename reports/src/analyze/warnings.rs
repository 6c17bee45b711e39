//! What a reader of the numbers must know.

use super::clock::{Clocks, Silence};
use super::source::CaptureSide;
use super::summary::{Summary, Sums};

fn range(side: &CaptureSide) -> Option<(i64, i64)> {
    Some((side.first_ns?, side.last_ns?))
}

impl Summary {
    /// Adds all warnings. `came_back`: packets matched the other way.
    pub fn warn(&mut self, sums: Sums, came_back: u64) {
        self.warn_of_captures();
        self.warn_of_clocks(sums.bounded);
        self.warn_of_numbers(sums, came_back);
    }

    /// Why nothing was measured.
    pub fn nothing(&self, sums: Sums) -> Option<String> {
        if sums.matched + sums.resegmented > 0 || self.totals.came_back > 0 {
            return None;
        }
        let [tx, rx] = self.paths.each_ref().map(|path| path.display());
        let totals = &self.totals;
        for (path, side) in [(&tx, &totals.tx), (&rx, &totals.rx)] {
            if side.packets == 0 {
                return Some(format!(
                    "nothing was measured: {path} holds no packet of the interface that was chosen"
                ));
            }
        }
        let apart = range(&totals.tx)
            .zip(range(&totals.rx))
            .is_some_and(|(a, b)| a.1 < b.0 || b.1 < a.0);
        let times = if apart {
            "; their times do not overlap either"
        } else {
            ""
        };
        Some(format!(
            "nothing was measured: no packet of {tx} is in {rx}{times}; give two captures of the same traffic"
        ))
    }

    fn warn_of_captures(&mut self) {
        let own = self.rules.own;
        let totals = &self.totals;
        let sides = [&totals.tx, &totals.rx].into_iter().zip(&self.paths);
        for ((side, path), set_back) in sides.zip(self.set_back) {
            let path = path.display();
            if let Some(damage) = &side.damage {
                self.warnings.push(format!(
                    "{path}: only the {} packets before the damage were read, {:.1} % of the file: {damage}",
                    side.packets,
                    side.part_read * 100.0
                ));
            }
            let warnings = &mut self.warnings;
            let mut say = |n: u64, what: &str| {
                if n > 0 {
                    warnings.push(format!("{path}: {n} {what}"));
                }
            };
            say(side.foreign, "packets are not vifbench's and were left out");
            say(side.corrupt, "packets are damaged and were left out");
            say(
                side.cut,
                "packets are cut too short to be told from others and were left out: capture with a longer snap \
                 length",
            );
            say(side.untimed, "packets have no time stamp and were left out");
            say(
                side.copies,
                "packets are copies that the capture itself made, of packets that passed several interfaces or were \
                 handed over several times, and were left out",
            );
            say(
                side.super_packets,
                "packets are larger than any Ethernet frame: offload (GSO, GRO, LRO) joined segments before they \
                 were captured; switch it off with `ethtool -K INTERFACE gro off gso off tso off lro off`",
            );
            if side.super_packets == 0 {
                say(
                    side.over_mtu,
                    "packets are above 1500 B: jumbo frames, or segments joined by offload (GSO, GRO)",
                );
            }
            if set_back.is_none() {
                say(
                    side.backwards,
                    "stamps lie before that of the packet before: packets are taken in the order of their stamps",
                );
            }
            if !own {
                say(side.not_ip, "frames are not IP and were left out");
            }
            if let Some(by_ns) = set_back {
                self.warnings.push(format!(
                    "{path}: the clock was set back during the capture, by {:.3} ms at most",
                    by_ns as f64 / 1e6
                ));
            }
            if side.packets == 0 {
                self.warnings.push(format!("{path}: no packet in it"));
            } else if !side.nanoseconds {
                self.warnings
                    .push(format!("{path}: stamps are cut to microseconds"));
            }
        }
    }

    fn warn_of_clocks(&mut self, bounded: bool) {
        let totals = &self.totals;
        let (known, came_back) = (self.clock_bound_ns.is_some(), totals.came_back);
        let two_way = totals.clocks == Clocks::Unknown(Silence::NoLine);
        for step in &totals.steps {
            let by_ms = step.by_ns as f64 / 1e6;
            let (at_s, at_ms) = (
                step.at_ns().div_euclid(1_000_000_000),
                step.at_ns().rem_euclid(1_000_000_000) / 1_000_000,
            );
            let what = if two_way {
                "a clock was set, as packets in both directions show; variation is that before and behind it"
            } else if known {
                "the path became another one, or a clock was set against what was said of the clocks; delays are as \
                 measured"
            } else {
                "a clock was set, or the path became another one; variation is that before and behind it"
            };
            self.warnings.push(format!(
                "from about {at_s}.{at_ms:03} s on, packets seem to take {by_ms:+.3} ms longer and stay so: {what}"
            ));
        }
        if bounded {
            return;
        }
        let why = match totals.clocks {
            Clocks::Unknown(Silence::NoLine) if totals.steps.is_empty() => {
                "traffic came back, but no straight line fits the clocks of both directions: a clock was set or \
                 adjusted during the capture, which the variation of delay includes"
            }
            Clocks::Unknown(Silence::NoLine | Silence::Step) => {
                "no bound of the clocks was given, and a clock that was set has none"
            }
            _ if came_back > 0 => {
                "no bound of the clocks was given, and too little traffic came back to tell one"
            }
            _ => "no bound of the clocks was given, and no traffic came back to tell one",
        };
        self.warnings.push(format!(
            "{why}: delays are not claimed, only their variation"
        ));
    }

    fn warn_of_numbers(&mut self, sums: Sums, came_back: u64) {
        let totals = &self.totals;
        let mut say = |line: String| self.warnings.push(line);
        if totals.look_alikes > 0 {
            say(format!(
                "{} packets look like one that was sent before (same addresses, ports, IP id and payload): they are \
                 matched by their times",
                totals.look_alikes
            ));
        }
        if sums.ambiguous > 0 {
            say(format!(
                "of {} packets it cannot be said which look-alike arrived: they count for loss, but have no delay and no \
                 order",
                sums.ambiguous
            ));
        }
        if sums.resegmented > 0 {
            say(format!(
                "{} packets arrived in packets of other lengths: offload (GSO, GRO) joined or cut segments, and their \
                 flows are compared in bytes",
                sums.resegmented
            ));
        }
        if sums.unmeasured > 0 {
            say(format!(
                "{} packets were sent behind the last one that the damaged capture holds: they are not counted as lost",
                sums.unmeasured
            ));
        }
        if sums.matched + sums.resegmented + came_back == 0 {
            say("no packet is in both captures".to_owned());
        } else if !totals.aligned {
            say(
                "the offset of the clocks cannot be told from the captures: packets were matched as if the clocks agreed"
                    .to_owned(),
            );
        }
        let edges = totals.lost_before + totals.lost_after - sums.unmeasured.min(totals.lost_after);
        if sums.lost > 0 && edges > 0 {
            say(format!(
                "{edges} of the lost packets were sent before the first or behind the last that arrived: the second \
                 capture may have run for a shorter time"
            ));
        }
        if sums.negative > 0 && sums.bounded {
            say(format!(
                "{} packets have a negative delay: the clocks lie further apart than was said",
                sums.negative
            ));
        }
        if totals.flows.crowded {
            say(
                "there are more flows than are told apart: the last ones are taken as one"
                    .to_owned(),
            );
        }
    }
}
