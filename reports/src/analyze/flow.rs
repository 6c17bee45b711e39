//! What is kept of each flow while packets pass: sums, filters, and the distributions of its values.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;

use super::distribution::Distribution;
use super::identity::Identity;

/// Flows that are told apart; whatever comes beyond shares one, so that a capture of a million flows does not fill
/// memory with their sums.
const MAX_FLOWS: usize = 1 << 17;
/// Arrivals of a flow in which the extent of reordering is looked for: many for the first flows, few for the others.
const RECORDS: [usize; 2] = [1 << 16, 1 << 8];
const FIRST_FLOWS: usize = 16;

/// Keys are hashes already.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// An arrival that raised the greatest number so far (RFC 4737, section 4.2).
#[derive(Debug, Clone, Copy)]
struct Record {
    number: u64,
    arrival: u64,
    rx_ns: i64,
}

/// One flow, in one direction.
#[derive(Debug)]
pub(super) struct Flow {
    /// Which pair of hosts, and whether from the lower address to the higher.
    pub pair: u32,
    pub up: bool,
    // In order of arrival.
    last_transit: Option<i64>,
    pub jitter: f64,
    pub jitter_sum: f64,
    pub jitter_moved: u64,
    next_expected: u64,
    records: VecDeque<Record>,
    pub arrivals: u64,
    pub reordered: u64,
    pub max_extent: u64,
    pub max_late_ns: i64,
    pub duplicated: u64,
    pub rx_bytes: u64,
    pub payload_bytes: u64,
    pub first_rx_ns: i64,
    pub last_rx_ns: i64,
    // In sending order.
    pub sent: u64,
    pub matched: u64,
    pub negative: u64,
    run: u64,
    pub runs: u64,
    pub longest_run: u64,
    last_delay: Option<i64>,
    pub delay: Distribution,
    pub ipdv: Distribution,
    /// Delays less what the skew of the clocks adds; empty where none is taken out.
    pub without_skew: Distribution,
}

impl Flow {
    fn new(pair: u32, up: bool, exact: bool) -> Self {
        Self {
            pair,
            up,
            last_transit: None,
            jitter: 0.0,
            jitter_sum: 0.0,
            jitter_moved: 0,
            next_expected: 0,
            records: VecDeque::new(),
            arrivals: 0,
            reordered: 0,
            max_extent: 0,
            max_late_ns: 0,
            duplicated: 0,
            rx_bytes: 0,
            payload_bytes: 0,
            first_rx_ns: i64::MAX,
            last_rx_ns: i64::MIN,
            sent: 0,
            matched: 0,
            negative: 0,
            run: 0,
            runs: 0,
            longest_run: 0,
            last_delay: None,
            delay: Distribution::new(exact),
            ipdv: Distribution::new(exact),
            without_skew: Distribution::new(exact),
        }
    }

    /// Its packet of this number in the whole sending order arrived for the first time.
    pub fn arrived(&mut self, number: u64, tx_ns: i64, rx_ns: i64, records: usize) {
        // RFC 3550, 6.4.1: J += (|D(i-1, i)| - J) / 16.
        let transit = rx_ns.saturating_sub(tx_ns);
        if let Some(last) = self.last_transit.replace(transit) {
            let change = transit.abs_diff(last) as f64;
            self.jitter += (change - self.jitter) / 16.0;
            self.jitter_sum += self.jitter;
            self.jitter_moved += 1;
        }
        // RFC 4737, 4.2.1: reordered if s < NextExp, else NextExp = s + 1.
        if number < self.next_expected {
            self.reordered += 1;
            let first = self.records.partition_point(|r| r.number <= number);
            if let Some(first) = self.records.get(first) {
                self.max_extent = self.max_extent.max(self.arrivals - first.arrival);
                self.max_late_ns = self.max_late_ns.max(rx_ns.saturating_sub(first.rx_ns));
            }
        } else {
            self.next_expected = number + 1;
            if self.records.len() == records {
                self.records.pop_front();
            }
            self.records.push_back(Record {
                number,
                arrival: self.arrivals,
                rx_ns,
            });
        }
        self.arrivals += 1;
    }

    /// A packet of it came by at `rx`, first copy or not.
    pub fn received(&mut self, rx_ns: i64, size: u32, payload: u32, copy: bool) {
        self.duplicated += u64::from(copy);
        self.rx_bytes += u64::from(size);
        self.payload_bytes += if copy { 0 } else { u64::from(payload) };
        self.first_rx_ns = self.first_rx_ns.min(rx_ns);
        self.last_rx_ns = self.last_rx_ns.max(rx_ns);
    }

    /// In sending order: its next packet took so long, or was lost (none).
    pub fn settled(&mut self, delay: Option<i64>) {
        self.sent += 1;
        let Some(delay) = delay else {
            // RFC 7680: a packet that does not arrive is lost. RFC 3357: runs of loss.
            self.run += 1;
            self.runs += u64::from(self.run == 1);
            self.longest_run = self.longest_run.max(self.run);
            self.last_delay = None;
            return;
        };
        self.run = 0;
        self.matched += 1;
        self.negative += u64::from(delay < 0);
        // RFC 7679: D = R - S.
        self.delay.add(delay);
        // RFC 3393, RFC 5481 section 4.1: D(i) - D(i-1), where both arrived.
        if let Some(last) = self.last_delay.replace(delay) {
            self.ipdv.add(delay.saturating_sub(last));
        }
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
        self.list.push(Flow::new(pair, up, self.exact));
        self.of_key.insert(identity.flow, number);
        number
    }

    /// A packet arrived for the first time.
    pub fn arrived(&mut self, flow: u32, number: u64, tx_ns: i64, rx_ns: i64) {
        let records = RECORDS[usize::from(flow as usize >= FIRST_FLOWS)];
        let flow = &mut self.list[flow as usize];
        flow.arrived(number, tx_ns, rx_ns, records);
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
