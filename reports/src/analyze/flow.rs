//! What is kept of each flow while packets pass: sums, filters, and the distributions of its values.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::net::IpAddr;

use super::as_is::AsIs;
use super::distribution::Distribution;
use super::identity::Identity;
use super::outstanding::Band;
use super::segments::Stream;
use crate::metrics::delay::Ipdv;
use crate::metrics::jitter::Jitter;
use crate::metrics::reordering::Reordering;

/// Flows that are told apart; whatever comes beyond shares one, so that a capture of a million flows does not fill
/// memory with their sums.
const MAX_FLOWS: usize = 1 << 17;
/// Arrivals of a flow in which the extent of reordering is looked for: many for the first flows, few for the others.
const RECORDS: [usize; 2] = [1 << 16, 1 << 8];
const FIRST_FLOWS: usize = 16;

/// Matches after which the transit times seen before the last so many are forgotten.
const EPOCH: u32 = 4096;
/// With fewer, it is not known how transit times are spread.
const MATCHES_MIN: u32 = 16;
/// The band of transit times is widened by this at least.
const SLACK_NS: i64 = 2_000;

/// Transit times of a flow's packets that were told for sure: their range, in the current epoch and the one before.
#[derive(Debug, Clone, Copy)]
struct Transits {
    now: Option<(i64, i64)>,
    before: Option<(i64, i64)>,
    n: u32,
}

impl Transits {
    fn add(&mut self, transit: i64) {
        if self.n == EPOCH {
            (self.before, self.now, self.n) = (self.now, None, 0);
        }
        let (from, to) = self.now.unwrap_or((transit, transit));
        self.now = Some((from.min(transit), to.max(transit)));
        self.n += 1;
    }

    fn range(&self) -> Option<(i64, i64)> {
        if self.before.is_none() && self.n < MATCHES_MIN {
            return None;
        }
        match (self.now, self.before) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        }
    }
}

/// Where transit times lie that are like those of this range: above it more readily than below, since queues only delay.
pub(super) fn band((from, to): (i64, i64)) -> Band {
    let slack = to.saturating_sub(from).max(SLACK_NS);
    Band {
        from: from.saturating_sub(slack),
        to: to.saturating_add(slack.saturating_mul(2)),
        contested: slack.saturating_mul(4),
    }
}

/// One flow, in one direction.
#[derive(Debug)]
pub(super) struct Flow {
    /// Which pair of hosts, and whether from the lower address to the higher.
    pub pair: u32,
    pub up: bool,
    // In order of arrival.
    transits: Transits,
    /// More copies of look-alikes arrived than can be explained.
    pub crowded: bool,
    /// What arrived of its bytes; none where it is not TCP.
    pub stream: Option<Box<Stream>>,
    pub jitter: Jitter,
    pub reordering: Reordering,
    pub duplicated: u64,
    pub rx_bytes: u64,
    pub payload_bytes: u64,
    pub first_rx_ns: i64,
    pub last_rx_ns: i64,
    // In sending order.
    pub sent: u64,
    pub matched: u64,
    /// Of those that arrived: look-alikes of which it cannot be said which one arrived.
    pub ambiguous: u64,
    /// Packets whose bytes arrived in packets of other lengths, and those that were sent when nothing was captured.
    pub resegmented: u64,
    pub unmeasured: u64,
    /// Packets that arrived in other lengths than they were sent.
    pub other_arrivals: u64,
    pub negative: u64,
    run: u64,
    pub runs: u64,
    pub longest_run: u64,
    variation: Ipdv,
    pub delay: Distribution,
    pub ipdv: Distribution,
    /// Delays less what the skew of the clocks adds; empty where none is taken out.
    pub without_skew: Distribution,
}

impl Flow {
    fn new(pair: u32, up: bool, exact: bool, records: usize) -> Self {
        Self {
            pair,
            up,
            transits: Transits {
                now: None,
                before: None,
                n: 0,
            },
            crowded: false,
            stream: None,
            jitter: Jitter::default(),
            reordering: Reordering::remembering(records),
            duplicated: 0,
            rx_bytes: 0,
            payload_bytes: 0,
            first_rx_ns: i64::MAX,
            last_rx_ns: i64::MIN,
            sent: 0,
            matched: 0,
            ambiguous: 0,
            resegmented: 0,
            unmeasured: 0,
            other_arrivals: 0,
            negative: 0,
            run: 0,
            runs: 0,
            longest_run: 0,
            variation: Ipdv::default(),
            delay: Distribution::new(exact),
            ipdv: Distribution::new(exact),
            without_skew: Distribution::new(exact),
        }
    }

    /// Its packet of this number in the whole sending order arrived for the first time.
    pub fn arrived(&mut self, number: u64, tx_ns: i64, rx_ns: i64) {
        self.transits.add(rx_ns.saturating_sub(tx_ns));
        self.jitter.push(rx_ns.saturating_sub(tx_ns));
        self.reordering.push(number, rx_ns, true);
    }

    /// A packet of it came by at `rx`, first copy or not.
    pub fn received(&mut self, rx_ns: i64, size: u32, payload: u32, copy: bool) {
        self.duplicated += u64::from(copy);
        self.rx_bytes += u64::from(size);
        self.payload_bytes += if copy { 0 } else { u64::from(payload) };
        self.first_rx_ns = self.first_rx_ns.min(rx_ns);
        self.last_rx_ns = self.last_rx_ns.max(rx_ns);
    }

    /// What its transit times were lately, where some are known.
    pub fn transits(&self) -> Option<(i64, i64)> {
        self.transits.range()
    }

    /// In sending order: its next packet arrived, but it cannot be said when.
    pub fn settled_unsure(&mut self) {
        self.sent += 1;
        self.matched += 1;
        self.ambiguous += 1;
        self.run = 0;
        self.variation.push(None);
    }

    /// In sending order: its next packet is not to be found, which does not make it lost.
    pub fn settled_otherwise(&mut self, unmeasured: bool) {
        self.sent += 1;
        self.unmeasured += u64::from(unmeasured);
        self.resegmented += u64::from(!unmeasured);
        self.variation.push(None);
    }

    /// Packets that were sent and did not arrive.
    pub fn lost(&self) -> u64 {
        self.sent - self.matched - self.resegmented - self.unmeasured
    }

    /// In sending order: its next packet took so long, or was lost (none).
    pub fn settled(&mut self, delay: Option<i64>) {
        self.sent += 1;
        if let Some(change) = self.variation.push(delay) {
            self.ipdv.add(change);
        }
        let Some(delay) = delay else {
            // RFC 7680: a packet that does not arrive is lost. RFC 3357: runs of loss.
            self.run += 1;
            self.runs += u64::from(self.run == 1);
            self.longest_run = self.longest_run.max(self.run);
            return;
        };
        self.run = 0;
        self.matched += 1;
        self.negative += u64::from(delay < 0);
        // RFC 7679: D = R - S.
        self.delay.add(delay);
    }
}

/// Two hosts that talk, and which way the packets between them go.
#[derive(Debug)]
pub(super) struct Pair {
    /// The last transit from the lower address to the higher, and back.
    last: [Option<i64>; 2],
    /// Times that the way up took longer, less times that the way down did.
    votes: i64,
    cast: i64,
}

/// The way from the first capture to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Every packet of the pair goes from `tx` to `rx`.
    Both,
    /// Only those from the lower address to the higher (true) or back (false); the others come back.
    One(bool),
}

/// All flows.
#[derive(Debug)]
pub(super) struct Flows {
    exact: bool,
    of_key: HashMap<u64, u32, BuildHasherDefault<AsIs>>,
    pub list: Vec<Flow>,
    pub pairs: Vec<Pair>,
    of_ends: HashMap<(IpAddr, IpAddr), u32>,
    last: Option<(u64, u32)>,
    /// Flows beyond the limit were seen.
    pub crowded: bool,
}

impl Flows {
    pub fn new(exact: bool) -> Self {
        Self {
            exact,
            of_key: HashMap::default(),
            list: Vec::new(),
            pairs: Vec::new(),
            of_ends: HashMap::new(),
            last: None,
            crowded: false,
        }
    }

    /// The number of a packet's flow.
    pub fn number(&mut self, identity: &Identity) -> u32 {
        if let Some((key, number)) = self.last
            && key == identity.flow
        {
            return number;
        }
        let known = self.of_key.get(&identity.flow).copied();
        let number = known.unwrap_or_else(|| self.add(identity));
        self.last = Some((identity.flow, number));
        number
    }

    #[cold]
    fn add(&mut self, identity: &Identity) -> u32 {
        if self.list.len() >= MAX_FLOWS {
            self.crowded = true;
            return MAX_FLOWS as u32 - 1;
        }
        let (source, destination) = identity.ends;
        let up = source <= destination;
        let ends = if up {
            (source, destination)
        } else {
            (destination, source)
        };
        let pairs = &mut self.pairs;
        let pair = *self.of_ends.entry(ends).or_insert_with(|| {
            pairs.push(Pair {
                last: [None; 2],
                votes: 0,
                cast: 0,
            });
            pairs.len() as u32 - 1
        });
        let number = self.list.len() as u32;
        let records = RECORDS[usize::from(number as usize >= FIRST_FLOWS)];
        self.list.push(Flow::new(pair, up, self.exact, records));
        self.of_key.insert(identity.flow, number);
        number
    }

    /// The number of a flow that is known already.
    pub fn known(&mut self, key: u64) -> Option<u32> {
        if let Some((last, number)) = self.last
            && last == key
        {
            return Some(number);
        }
        self.of_key.get(&key).copied()
    }

    /// A packet arrived for the first time.
    pub fn arrived(&mut self, flow: u32, number: u64, tx_ns: i64, rx_ns: i64) {
        let flow = &mut self.list[flow as usize];
        flow.arrived(number, tx_ns, rx_ns);
        let pair = &mut self.pairs[flow.pair as usize];
        let transit = rx_ns.saturating_sub(tx_ns);
        let (mine, other) = (usize::from(flow.up), usize::from(!flow.up));
        pair.last[mine] = Some(transit);
        if let Some(back) = pair.last[other] {
            // Whatever the clocks' offset, the way from tx to rx seems longer than the way back, by a round trip.
            let sign = i64::from(transit > back) - i64::from(transit < back);
            pair.votes += if flow.up { sign } else { -sign };
            pair.cast += 1;
        }
    }

    /// Which way the packets of a pair go. Only a clear case counts as traffic in both directions.
    pub fn way(&self, pair: u32) -> Way {
        let pair = &self.pairs[pair as usize];
        if pair.cast >= 3 && pair.votes.abs() * 10 >= pair.cast * 9 {
            Way::One(pair.votes > 0)
        } else {
            Way::Both
        }
    }

    /// Whether a flow goes from `tx` to `rx`.
    pub fn forward(&self, flow: &Flow) -> bool {
        match self.way(flow.pair) {
            Way::Both => true,
            Way::One(up) => flow.up == up,
        }
    }

    /// Whether packets between two hosts come back from `rx` to `tx`.
    pub fn comes_back(&self, ends: (IpAddr, IpAddr)) -> bool {
        let up = ends.0 <= ends.1;
        let ends = if up { ends } else { (ends.1, ends.0) };
        self.of_ends
            .get(&ends)
            .is_some_and(|pair| self.way(*pair) == Way::One(!up))
    }
}
