//! Two captures joined packet by packet, and what is added up on the way.
//!
//! There is one matcher ([`Outstanding`]) and two ways to feed it. In memory: the first capture is read as a whole, then the
//! second is compared with it. Streaming: both are read side by side, and a packet waits for its twin no longer than the
//! longest delay; twice, because what the clocks do must be known before delays are added up. With the same
//! longest delay both find the same.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::align::{Alignment, Sampled, Sampler};
use super::clock::{Clocks, Residue, Survey};
use super::files::CaptureFile;
use super::flow::{Flows, Way, band};
use super::outstanding::{Band, Found, Judge, Outstanding, Reach, Sent};
use super::placed::Packet;
use super::segments::{InBytes, Recount, Stream};
use super::source::{CaptureSide, Manner, Order, Source};
use super::steps::{Step, shift};
use crate::error::ReportError;

/// Packets that are read before the first of them is looked up.
const BATCH: usize = 256;
/// Pairs of hosts for which packets that were never sent are counted apart.
const MAX_ENDS: usize = 1 << 12;
/// Where more than one packet of so many comes again soon, all of the captures is looked at for copies.
const COPIES: u64 = 16;
/// Packets that come again so soon may be copies of the capture's.
const CLOSE_NS: i64 = 5_000_000;

/// One capture, the interface in it that counts, and how it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct End<'a> {
    pub file: &'a CaptureFile,
    pub interface: Option<&'a str>,
    pub manner: &'a Manner,
}

impl End<'_> {
    fn open(self) -> Result<Source, ReportError> {
        Source::open(self.file, self.interface, self.manner)
    }
}

/// What is to be joined.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job<'a> {
    pub tx: End<'a>,
    pub rx: End<'a>,
    /// A packet that takes longer is lost.
    pub longest_ns: Option<i64>,
    /// How far the clocks lie apart at most, where that is known.
    pub clock_bound_ns: Option<u64>,
    /// About how many packets the first capture holds.
    pub expected: u64,
}

/// How it went.
pub(super) enum Outcome {
    Done(Box<Totals>),
    /// Something in the captures contradicts what was assumed from their first packets.
    Revise,
    /// Their stamps are out of order by more than a window.
    Disordered,
}

/// Everything that was added up.
pub(super) struct Totals {
    pub flows: Flows,
    pub tx: CaptureSide,
    pub rx: CaptureSide,
    pub clocks: Clocks,
    pub steps: Vec<Step>,
    pub came_back: u64,
    pub residue: Option<Residue>,
    pub span: Option<(i64, i64)>,
    pub look_alikes: u64,
    /// Packets at `rx` that were never at `tx`, forward.
    pub unmatched: u64,
    /// Packets that were sent at `rx`'s end and never came to `tx`.
    pub back_lost: u64,
    /// Lost before the first and behind the last packet that was found.
    pub lost_before: u64,
    pub lost_after: u64,
    /// What is compared in bytes, by flow.
    pub in_bytes: HashMap<u32, InBytes>,
    /// Streaming: the captures have packets in common.
    pub aligned: bool,
}

/// What the times of packets allow.
struct Times<'a> {
    alignment: Option<&'a Alignment>,
    longest_ns: Option<i64>,
    flows: &'a Flows,
}

impl Judge for Times<'_> {
    fn reach(&self, tx_ns: i64, rx_ns: i64) -> Reach {
        let Some(longest_ns) = self.longest_ns else {
            return Reach::Within;
        };
        let typical = self.alignment.map_or(0, |a| a.at(tx_ns).middle);
        let transit = rx_ns.saturating_sub(tx_ns).saturating_sub(typical);
        // Packets that come back are seen here first.
        if transit > longest_ns {
            Reach::TooOld
        } else if transit < -longest_ns {
            Reach::TooNew
        } else {
            Reach::Within
        }
    }

    fn band(&self, flow: u32, rx_ns: i64) -> Band {
        let lately = self.flows.list[flow as usize].transits();
        // What was matched for sure is not all that there is: where look-alikes are dense, few are.
        let alike = self.alignment.filter(|alignment| alignment.clear).map(|a| {
            let typical = a.at(rx_ns.saturating_sub(a.range().0));
            (typical.least, typical.greatest)
        });
        match (lately, alike) {
            (Some(a), Some(b)) => band((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b).map_or(Band::UNKNOWN, band),
        }
    }
}

/// Sums while packets pass.
struct Pass<'a> {
    own: bool,
    alignment: Option<&'a Alignment>,
    longest_ns: Option<i64>,
    flows: Flows,
    waiting: Outstanding,
    tx_copies: u64,
    /// Copies at `rx` that came soon after the first.
    close: u64,
    unmatched: HashMap<(IpAddr, IpAddr), u64>,
    unmatched_beyond: u64,
}

impl<'a> Pass<'a> {
    fn new(job: &Job<'_>, alignment: Option<&'a Alignment>, exact: bool, expected: usize) -> Self {
        // Seen from an arrival, what was sent lies within the longest delay on either side.
        let span_ns = job
            .longest_ns
            .map_or(i64::MAX, |longest| longest.saturating_mul(2));
        Self {
            own: job.tx.manner.rules.own,
            alignment,
            longest_ns: job.longest_ns,
            flows: Flows::new(exact),
            waiting: Outstanding::new(expected, span_ns),
            tx_copies: 0,
            close: 0,
            unmatched: HashMap::new(),
            unmatched_beyond: 0,
        }
    }

    /// Reads the next packets and prepares to look them up; false at the end of the capture.
    fn take(
        &self,
        batch: &mut Vec<Packet>,
        from: &mut Source,
        warm: bool,
    ) -> Result<bool, ReportError> {
        batch.clear();
        while batch.len() < BATCH
            && let Some(packet) = from.next()?
        {
            batch.push(packet);
        }
        if warm {
            self.waiting
                .warm(batch.iter().map(|packet| packet.identity.key));
        }
        Ok(!batch.is_empty())
    }

    fn sent(&mut self, packet: &Packet) {
        let flow = self.flows.number(&packet.identity);
        let key = packet.identity.key;
        let new = self.waiting.push(key, packet.at_ns, flow, self.own);
        self.tx_copies += u64::from(!new);
    }

    fn arrived(&mut self, packet: &Packet) {
        let (at, size, payload) = (packet.at_ns, packet.size, packet.identity.payload);
        let times = Times {
            alignment: self.alignment,
            longest_ns: self.longest_ns,
            flows: &self.flows,
        };
        let found = self.waiting.find(packet.identity.key, at, &times);
        match found {
            Found::Match {
                number,
                flow,
                tx_ns,
                sure,
            } => {
                if sure {
                    self.flows.arrived(flow, number, tx_ns, at);
                }
                self.flows.list[flow as usize].received(at, size, payload, false);
            }
            Found::Copy {
                flow,
                after_ns,
                crowd,
            } => {
                self.close += u64::from(after_ns <= CLOSE_NS);
                self.flows.list[flow as usize].crowded |= crowd;
                self.flows.list[flow as usize].received(at, size, payload, true);
            }
            Found::Nothing => {
                let ends = packet.identity.ends;
                if self.unmatched.len() < MAX_ENDS || self.unmatched.contains_key(&ends) {
                    *self.unmatched.entry(ends).or_default() += 1;
                } else {
                    self.unmatched_beyond += 1;
                }
            }
        }
        if let Some(seq) = packet.identity.seq {
            self.stream(packet, seq, found);
        }
    }

    /// Keeps account of which bytes of TCP arrived.
    fn stream(&mut self, packet: &Packet, seq: u32, found: Found) {
        let flow = match found {
            Found::Match { flow, .. } | Found::Copy { flow, .. } => flow,
            Found::Nothing => match self.flows.known(packet.identity.flow) {
                Some(flow) => flow,
                None => return,
            },
        };
        let stream = &mut self.flows.list[flow as usize].stream;
        let stream = stream.get_or_insert_with(|| Box::new(Stream::new(seq)));
        stream.add(seq, packet.identity.payload);
        if found == Found::Nothing {
            stream.add_other((seq, packet.identity.payload), packet.size, packet.at_ns);
        }
    }
}

/// What became of all packets together, which must be known before each is accounted for.
struct Findings {
    survey: Survey,
    /// By flow: packets that are not to be found in the second capture.
    missing: Vec<u64>,
    /// By flow: look-alikes were lost, or too many arrived: which of them it was cannot be said of any.
    contested: Vec<bool>,
    last_found_ns: i64,
    in_bytes: HashMap<u32, InBytes>,
}

impl Findings {
    fn new() -> Self {
        Self {
            survey: Survey::new(),
            missing: Vec::new(),
            contested: Vec::new(),
            last_found_ns: i64::MIN,
            in_bytes: HashMap::new(),
        }
    }

    /// Adds the next packet in the order of sending.
    fn add(&mut self, sent: &Sent, flows: &Flows) {
        let flow = &flows.list[sent.flow as usize];
        let Some(rx_ns) = sent.rx_ns() else {
            *slot(&mut self.missing, sent.flow) += 1;
            if sent.has_look_alike() {
                *slot(&mut self.contested, sent.flow) = true;
            }
            return;
        };
        self.last_found_ns = self.last_found_ns.max(sent.tx_ns);
        if !sent.is_unsure() {
            let transit = rx_ns.saturating_sub(sent.tx_ns);
            self.survey.add(flows.forward(flow), sent.tx_ns, transit);
        }
    }

    fn is_contested(&self, flow: u32) -> bool {
        self.contested.get(flow as usize).copied().unwrap_or(false)
    }

    /// When all packets were added. Compares flows in bytes where packets on both sides have no twin: reads the first
    /// capture once more for what was sent of them.
    fn finish(&mut self, tx: End<'_>, flows: &mut Flows) -> Result<(), ReportError> {
        let mut open = HashSet::new();
        for (number, flow) in (0..).zip(&flows.list) {
            if flow.crowded {
                *slot(&mut self.contested, number) = true;
            }
            let missing = self.missing.get(number as usize).is_some_and(|n| *n > 0);
            if missing && flow.stream.as_ref().is_some_and(|s| s.unmatched > 0) {
                open.insert(number);
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        let mut recount = Recount::default();
        let mut source = tx.open()?;
        while let Some(packet) = source.next()? {
            if let Some(seq) = packet.identity.seq
                && let Some(flow) = flows.known(packet.identity.flow)
                && open.contains(&flow)
                && let Some(stream) = &flows.list[flow as usize].stream
            {
                recount.sent(flow, seq, packet.identity.payload, stream);
            }
        }
        self.in_bytes = recount.finish(|flow| flows.list[flow as usize].stream.as_deref());
        Ok(())
    }
}

/// The value of a flow, made where there was none.
fn slot<T: Default + Clone>(values: &mut Vec<T>, flow: u32) -> &mut T {
    let flow = flow as usize;
    if values.len() <= flow {
        values.resize(flow + 1, T::default());
    }
    &mut values[flow]
}

/// In sending order: fates, delays and what is made of them.
struct Ledger {
    clocks: Clocks,
    steps: Vec<Step>,
    /// Jumps that are taken out of the transit times: where the clocks are known, the path is what changed.
    jumps: Vec<Step>,
    /// The skew moves packets by more than the stamps resolve.
    drifts: bool,
    residue: Option<Residue>,
    found_any: bool,
    lost_before: u64,
    lost_after: u64,
    /// The second capture is damaged: what was sent later than this was not captured.
    captured_until_ns: i64,
    findings: Findings,
    /// Of the flows compared in bytes: packets that are lost, and not counted yet.
    bytes_lost: HashMap<u32, u64>,
}

impl Ledger {
    fn new(findings: Findings, job: &Job<'_>, resolution_ns: f64, rx: &CaptureSide) -> Self {
        let two_way = job.tx.manner.rules.two_way;
        let (clocks, steps) = findings.survey.clocks(resolution_ns, two_way);
        let span = findings.survey.span();
        let drifts = match (clocks, span) {
            (Clocks::Rate { skew, .. }, Some((from, to))) => {
                (skew * (to - from) as f64).abs() > resolution_ns
            }
            _ => false,
        };
        let captured_until_ns = if rx.damage.is_some() {
            findings.last_found_ns
        } else {
            i64::MAX
        };
        let lost = findings.in_bytes.iter().map(|(f, b)| (*f, b.lost_packets));
        Self {
            clocks,
            jumps: if two_way { steps.clone() } else { Vec::new() },
            steps,
            drifts,
            residue: span.map(Residue::new),
            found_any: false,
            lost_before: 0,
            lost_after: 0,
            captured_until_ns,
            bytes_lost: lost.collect(),
            findings,
        }
    }

    fn settle(&mut self, sent: &Sent, flows: &mut Flows) {
        let way = flows.way(flows.list[sent.flow as usize].pair);
        let flow = &mut flows.list[sent.flow as usize];
        let Some(rx_ns) = sent.rx_ns() else {
            if let Some(lost) = self.bytes_lost.get_mut(&sent.flow) {
                // Its bytes arrived in other packets; those of so many did not.
                if *lost == 0 {
                    return flow.settled_otherwise(false);
                }
                *lost -= 1;
            }
            self.lost_after += 1;
            if sent.tx_ns > self.captured_until_ns {
                return flow.settled_otherwise(true);
            }
            return flow.settled(None);
        };
        if !std::mem::replace(&mut self.found_any, true) {
            self.lost_before = self.lost_after;
        }
        self.lost_after = 0;
        if sent.is_unsure() && self.findings.is_contested(sent.flow) {
            return flow.settled_unsure();
        }
        let transit = rx_ns.saturating_sub(sent.tx_ns);
        let forward = way == Way::Both || way == Way::One(flow.up);
        // A packet that comes back is stamped at `rx` first.
        let signed = |delay: i64| {
            Some(if forward {
                delay
            } else {
                delay.saturating_neg()
            })
        };
        match self.clocks {
            Clocks::Unknown(_) => {
                let jumped = shift(&self.jumps, sent.tx_ns, transit);
                flow.settled(signed(transit.saturating_sub(jumped)));
            }
            Clocks::TwoWay(_) => {
                let shift = self.clocks.shift(sent.tx_ns).round() as i64;
                flow.settled(signed(transit.saturating_sub(shift)));
            }
            Clocks::Rate { skew, at_ns, .. } => {
                flow.settled(signed(transit));
                let above = transit as f64 - self.clocks.shift(sent.tx_ns);
                if let Some(residue) = &mut self.residue
                    && forward
                {
                    residue.add(sent.tx_ns, above.round() as i64);
                }
                if self.drifts {
                    let drift = skew * (sent.tx_ns - at_ns) as f64;
                    flow.without_skew.add(transit - drift.round() as i64);
                }
            }
        }
    }

    fn totals(self, mut pass: Pass<'_>, mut tx: CaptureSide, rx: CaptureSide) -> Totals {
        let back = |ends: &(IpAddr, IpAddr)| pass.flows.comes_back(*ends);
        let (mut unmatched, mut back_lost) = (pass.unmatched_beyond, 0);
        for (ends, n) in &pass.unmatched {
            if back(ends) {
                back_lost += n;
            } else {
                unmatched += n;
            }
        }
        for number in self.findings.in_bytes.keys() {
            let flow = &mut pass.flows.list[*number as usize];
            if let Some(stream) = &flow.stream {
                let n = stream.unmatched;
                flow.rx_bytes += stream.frame_bytes;
                flow.payload_bytes += stream.payload_bytes;
                flow.first_rx_ns = flow.first_rx_ns.min(stream.first_ns);
                flow.last_rx_ns = flow.last_rx_ns.max(stream.last_ns);
                flow.other_arrivals = n;
                unmatched = unmatched.saturating_sub(n);
            }
        }
        tx.copies += pass.tx_copies;
        Totals {
            span: self.findings.survey.span(),
            came_back: self.findings.survey.came_back(),
            in_bytes: self.findings.in_bytes,
            look_alikes: pass.waiting.look_alikes,
            flows: pass.flows,
            tx,
            rx,
            clocks: self.clocks,
            steps: self.steps,
            residue: self.residue,
            unmatched,
            back_lost,
            lost_before: self.lost_before,
            lost_after: if self.found_any { self.lost_after } else { 0 },
            aligned: true,
        }
    }
}

/// The resolution that the stamps of both captures have, in nanoseconds.
pub(super) fn resolution_ns(tx: &CaptureSide, rx: &CaptureSide) -> u64 {
    if tx.nanoseconds && rx.nanoseconds {
        1
    } else {
        1000
    }
}

/// Whether a capture has to be looked at as a whole before it can be read in the right manner.
fn refused(sources: [&Source; 2]) -> Option<Outcome> {
    if sources.iter().any(|source| source.revise) {
        return Some(Outcome::Revise);
    }
    sources
        .iter()
        .any(|source| source.disordered)
        .then_some(Outcome::Disordered)
}

/// Joins two captures with the whole first one in memory.
pub(super) fn in_memory(job: &Job<'_>) -> Result<Outcome, ReportError> {
    let mut first = job.tx.open()?;
    let expected = usize::try_from(job.expected)
        .unwrap_or(usize::MAX)
        .min(1 << 28);
    let mut pass = Pass::new(job, None, true, expected);
    let mut batch = Vec::with_capacity(BATCH);
    while pass.take(&mut batch, &mut first, true)? {
        for packet in &batch {
            pass.sent(packet);
        }
    }
    if let Some(refused) = refused([&first, &first]) {
        return Ok(refused);
    }
    // Time is only needed to choose among look-alikes, and for the longest delay.
    let alignment = if pass.waiting.look_alikes > 0 || job.longest_ns.is_some() {
        let sampler = Sampler::new(job.expected);
        let sent = pass.waiting.iter();
        let taken = sent.filter(|sent| sampler.takes(sent.key()));
        let tx = taken.map(|sent| (sent.key(), sent.tx_ns)).collect();
        let (rx, second) = sample(job.rx, sampler)?;
        if let Some(refused) = refused([&second, &second]) {
            return Ok(refused);
        }
        Alignment::of(tx, rx, job.clock_bound_ns)
    } else {
        None
    };
    pass.alignment = alignment.as_ref();
    let mut second = job.rx.open()?;
    loop {
        let scattered = pass.waiting.is_scattered();
        if !pass.take(&mut batch, &mut second, scattered)? {
            break;
        }
        for packet in &batch {
            pass.arrived(packet);
        }
    }
    if let Some(refused) = refused([&first, &second]) {
        return Ok(refused);
    }
    let close = pass.waiting.close + pass.close;
    if !job.tx.manner.surveyed && close * COPIES > first.side.packets + second.side.packets {
        return Ok(Outcome::Revise);
    }
    let mut findings = Findings::new();
    for sent in pass.waiting.iter() {
        findings.add(sent, &pass.flows);
    }
    findings.finish(job.tx, &mut pass.flows)?;
    let resolution = resolution_ns(&first.side, &second.side) as f64;
    let mut ledger = Ledger::new(findings, job, resolution, &second.side);
    let emptied = Outstanding::new(0, 0).counting(&pass.waiting);
    let waiting = std::mem::replace(&mut pass.waiting, emptied);
    for sent in waiting.drain() {
        ledger.settle(&sent, &mut pass.flows);
    }
    let totals = ledger.totals(pass, first.side, second.side);
    Ok(Outcome::Done(Box::new(totals)))
}

/// The packets of a capture that are in the sample.
fn sample(end: End<'_>, sampler: Sampler) -> Result<(Vec<Sampled>, Source), ReportError> {
    let mut source = end.open()?;
    let mut sampled = Vec::new();
    while let Some(packet) = source.next()? {
        if sampler.takes(packet.identity.key) {
            sampled.push((packet.identity.key, packet.at_ns));
        }
    }
    Ok((sampled, source))
}

/// Joins two captures of any size. A packet that takes longer than the longest delay counts as lost, and its arrival as
/// unmatched.
pub(super) fn streaming(job: &Job<'_>, longest_ns: i64) -> Result<Outcome, ReportError> {
    let job = &Job {
        longest_ns: Some(longest_ns),
        ..*job
    };
    let sampler = Sampler::new(job.expected);
    let (tx, first) = sample(job.tx, sampler)?;
    let (rx, second) = sample(job.rx, sampler)?;
    if let Some(refused) = refused([&first, &second]) {
        return Ok(refused);
    }
    let alignment = Alignment::of(tx, rx, job.clock_bound_ns);
    // First round: which way packets go, and what the clocks do.
    let mut findings = Findings::new();
    let round = Round {
        job,
        longest_ns,
        alignment: alignment.as_ref(),
    };
    let (mut pass, first, second) = round.run(|sent, flows| findings.add(sent, flows))?;
    let close = pass.waiting.close + pass.close;
    if !job.tx.manner.surveyed && close * COPIES > first.side.packets + second.side.packets {
        return Ok(Outcome::Revise);
    }
    findings.finish(job.tx, &mut pass.flows)?;
    let resolution = resolution_ns(&first.side, &second.side) as f64;
    drop(pass);
    // Second round: the sums.
    let mut ledger = Ledger::new(findings, job, resolution, &second.side);
    let (pass, first, second) = round.run(|sent, flows| ledger.settle(sent, flows))?;
    let totals = ledger.totals(pass, first.side, second.side);
    Ok(Outcome::Done(Box::new(Totals {
        aligned: alignment.is_some(),
        ..totals
    })))
}

/// One reading of both captures side by side.
struct Round<'a> {
    job: &'a Job<'a>,
    longest_ns: i64,
    alignment: Option<&'a Alignment>,
}

impl<'a> Round<'a> {
    /// `settled` is called for every packet sent, in sending order, once it is known what became of it.
    fn run(
        &self,
        mut settled: impl FnMut(&Sent, &mut Flows),
    ) -> Result<(Pass<'a>, Source, Source), ReportError> {
        let (mut first, mut second) = (self.job.tx.open()?, self.job.rx.open()?);
        let mut pass = Pass::new(self.job, self.alignment, false, 1 << 12);
        let (least, greatest) = self.alignment.map_or((0, 0), Alignment::range);
        let mut ahead = first.next()?;
        while let Some(packet) = second.next()? {
            // Packets that come back are seen here first, and there later.
            let until = packet
                .at_ns
                .saturating_sub(least)
                .saturating_add(self.longest_ns);
            while let Some(sent) = &ahead
                && sent.at_ns <= until
            {
                pass.sent(sent);
                ahead = first.next()?;
            }
            pass.arrived(&packet);
            let from = packet
                .at_ns
                .saturating_sub(greatest)
                .saturating_sub(self.longest_ns);
            while let Some(oldest) = pass.waiting.front()
                && oldest.tx_ns < from
                && let Some(sent) = pass.waiting.pop()
            {
                settled(&sent, &mut pass.flows);
            }
        }
        loop {
            while let Some(sent) = pass.waiting.pop() {
                settled(&sent, &mut pass.flows);
            }
            let Some(sent) = &ahead else {
                break;
            };
            pass.sent(sent);
            ahead = first.next()?;
        }
        Ok((pass, first, second))
    }
}

/// Whether the order in which packets are taken can be made to hold more.
pub(super) fn wider(order: Order) -> Order {
    match order {
        Order::Sorted(_) => Order::ALL,
        Order::Checked | Order::AsFiled => order,
    }
}
