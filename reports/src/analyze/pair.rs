//! Two captures joined packet by packet, and what is added up on the way.
//!
//! In memory: the first capture is read whole, then the second is held against it. Streaming: both are read side by
//! side, and a packet waits for its twin no longer than the longest delay; twice over, because what the clocks do
//! must be known before delays are added up.

use std::collections::HashMap;
use std::path::Path;

use super::clock::{Clocks, Residue, Survey};
use super::flow::Flows;
use super::identity::Rules;
use super::outstanding::{Found, Outstanding, Sent};
use super::source::{CaptureSide, Packet, Source};
use crate::error::ReportError;

/// First packets of both captures that are held against each other to learn how far apart the clocks are.
const ALIGN: usize = 1 << 17;
/// Packets that are read before the first of them is looked up.
const BATCH: usize = 256;
/// Pairs of hosts for which packets that were never sent are counted apart.
const MAX_ENDS: usize = 1 << 12;

/// One capture and the interface in it that counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct End<'a> {
    pub path: &'a Path,
    pub interface: Option<&'a str>,
}

impl End<'_> {
    fn open(self) -> Result<Source, ReportError> {
        Source::open(self.path, self.interface)
    }
}

/// Everything that was added up.
pub(super) struct Totals {
    pub flows: Flows,
    pub tx: CaptureSide,
    pub rx: CaptureSide,
    pub clocks: Clocks,
    pub residue: Option<Residue>,
    pub span: Option<(i64, i64)>,
    /// Further copies in the first capture of packets that carry a number.
    pub tx_copies: u64,
    pub look_alikes: u64,
    /// Packets at `rx` that were never at `tx`, forward; and the bytes of their frames.
    pub unmatched: u64,
    /// Packets that were sent at `rx`'s end and never came to `tx`.
    pub back_lost: u64,
    /// Lost before the first and behind the last packet that was found.
    pub lost_before: u64,
    pub lost_after: u64,
    /// Streaming: the captures have packets in common at their beginning.
    pub aligned: bool,
}

/// Sums while packets pass.
struct Pass {
    rules: Rules,
    flows: Flows,
    waiting: Outstanding,
    tx_copies: u64,
    unmatched: HashMap<(std::net::IpAddr, std::net::IpAddr), u64>,
    unmatched_beyond: u64,
}

impl Pass {
    fn new(rules: Rules, exact: bool, expected: usize) -> Self {
        Self {
            rules,
            flows: Flows::new(exact),
            waiting: Outstanding::new(expected),
            tx_copies: 0,
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
            && let Some(packet) = from.next(self.rules)?
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
        let (key, own) = (packet.identity.key, self.rules.own);
        let new = self.waiting.push(key, packet.at_ns, flow, own);
        self.tx_copies += u64::from(!new);
    }

    /// Returns the transit time where it was found.
    fn arrived(&mut self, packet: &Packet) -> Option<i64> {
        let (at, size, payload) = (packet.at_ns, packet.size, packet.identity.payload);
        match self.waiting.find(packet.identity.key, at) {
            Found::Match {
                number,
                flow,
                tx_ns,
            } => {
                self.flows.arrived(flow, number, tx_ns, at);
                self.flows.list[flow as usize].received(at, size, payload, false);
                Some(at.saturating_sub(tx_ns))
            }
            Found::Copy { flow } => {
                self.flows.list[flow as usize].received(at, size, payload, true);
                None
            }
            Found::Nothing => {
                let ends = packet.identity.ends;
                if self.unmatched.len() < MAX_ENDS || self.unmatched.contains_key(&ends) {
                    *self.unmatched.entry(ends).or_default() += 1;
                } else {
                    self.unmatched_beyond += 1;
                }
                None
            }
        }
    }
}

/// In sending order: fates, delays and what is made of them.
struct Ledger {
    clocks: Clocks,
    /// The skew moves packets by more than the stamps resolve.
    drifts: bool,
    residue: Option<Residue>,
    found_any: bool,
    lost_before: u64,
    lost_after: u64,
}

impl Ledger {
    fn new(clocks: Clocks, span: Option<(i64, i64)>, resolution_ns: f64) -> Self {
        let drifts = match (clocks, span) {
            (Clocks::Rate { skew, .. }, Some((from, to))) => {
                (skew * (to - from) as f64).abs() > resolution_ns
            }
            _ => false,
        };
        Self {
            clocks,
            drifts,
            residue: span.map(Residue::new),
            found_any: false,
            lost_before: 0,
            lost_after: 0,
        }
    }

    fn settle(&mut self, sent: &Sent, flows: &mut Flows) {
        let way = flows.way(flows.list[sent.flow as usize].pair);
        let flow = &mut flows.list[sent.flow as usize];
        let Some(rx_ns) = sent.rx_ns() else {
            self.lost_after += 1;
            return flow.settled(None);
        };
        if !std::mem::replace(&mut self.found_any, true) {
            self.lost_before = self.lost_after;
        }
        self.lost_after = 0;
        let transit = rx_ns.saturating_sub(sent.tx_ns);
        let forward = way == super::flow::Way::Both || way == super::flow::Way::One(flow.up);
        // A packet that comes back is stamped at `rx` first.
        let signed = |delay: i64| {
            Some(if forward {
                delay
            } else {
                delay.saturating_neg()
            })
        };
        match self.clocks {
            Clocks::Unknown => flow.settled(signed(transit)),
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

    fn totals(
        self,
        pass: Pass,
        tx: CaptureSide,
        rx: CaptureSide,
        span: Option<(i64, i64)>,
        look_alikes: u64,
    ) -> Totals {
        let back = |ends: &(std::net::IpAddr, std::net::IpAddr)| pass.flows.comes_back(*ends);
        let (mut unmatched, mut back_lost) = (pass.unmatched_beyond, 0);
        for (ends, n) in &pass.unmatched {
            if back(ends) {
                back_lost += n;
            } else {
                unmatched += n;
            }
        }
        Totals {
            flows: pass.flows,
            tx,
            rx,
            clocks: self.clocks,
            residue: self.residue,
            span,
            tx_copies: pass.tx_copies,
            look_alikes,
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

/// Joins two captures with the whole first one in memory.
pub(super) fn in_memory(
    tx: End<'_>,
    rx: End<'_>,
    rules: Rules,
    expected: usize,
) -> Result<Totals, ReportError> {
    let (mut first, mut second) = (tx.open()?, rx.open()?);
    let mut pass = Pass::new(rules, true, expected);
    let mut batch = Vec::with_capacity(BATCH);
    while pass.take(&mut batch, &mut first, true)? {
        for packet in &batch {
            pass.sent(packet);
        }
    }
    loop {
        let scattered = pass.waiting.is_scattered();
        if !pass.take(&mut batch, &mut second, scattered)? {
            break;
        }
        for packet in &batch {
            pass.arrived(packet);
        }
    }
    let mut survey = Survey::new();
    for sent in pass.waiting.iter() {
        survey_one(&mut survey, sent, &pass.flows);
    }
    let resolution = resolution_ns(&first.side, &second.side) as f64;
    let span = survey.span();
    let mut ledger = Ledger::new(survey.clocks(resolution, rules.two_way), span, resolution);
    let waiting = std::mem::replace(&mut pass.waiting, Outstanding::new(0));
    let look_alikes = waiting.look_alikes;
    for sent in waiting.drain() {
        ledger.settle(&sent, &mut pass.flows);
    }
    Ok(ledger.totals(pass, first.side, second.side, span, look_alikes))
}

fn survey_one(survey: &mut Survey, sent: &Sent, flows: &Flows) {
    if let Some(rx_ns) = sent.rx_ns() {
        let forward = flows.forward(&flows.list[sent.flow as usize]);
        survey.add(forward, sent.tx_ns, rx_ns.saturating_sub(sent.tx_ns));
    }
}

/// How much later the second clock shows the same packets, by the first packets of both captures.
fn alignment(tx: End<'_>, rx: End<'_>, rules: Rules) -> Result<Option<i64>, ReportError> {
    let mut first = tx.open()?;
    let mut sent = HashMap::with_capacity(ALIGN);
    while sent.len() < ALIGN
        && let Some(packet) = first.next(rules)?
    {
        sent.entry(packet.identity.key).or_insert(packet.at_ns);
    }
    let mut second = rx.open()?;
    let mut transits = Vec::new();
    for _ in 0..ALIGN {
        let Some(packet) = second.next(rules)? else {
            break;
        };
        if let Some(at) = sent.get(&packet.identity.key) {
            transits.push(packet.at_ns.saturating_sub(*at));
        }
    }
    transits.sort_unstable();
    Ok(transits.get(transits.len() / 2).copied())
}

/// Joins two captures of any size. A packet that takes longer than `longest_ns` counts as lost, and its arrival as
/// unmatched.
pub(super) fn streaming(
    tx: End<'_>,
    rx: End<'_>,
    rules: Rules,
    longest_ns: i64,
) -> Result<Totals, ReportError> {
    let aligned = alignment(tx, rx, rules)?;
    // First round: which way packets go, and what the clocks do.
    let mut survey = Survey::new();
    let round = Round {
        ends: (tx, rx),
        rules,
        longest_ns,
        offset_ns: aligned.unwrap_or(0),
    };
    let (pass, first, second) = round.run(|sent, flows| survey_one(&mut survey, sent, flows))?;
    let resolution = resolution_ns(&first.side, &second.side) as f64;
    let span = survey.span();
    drop(pass);
    // Second round: the sums.
    let mut ledger = Ledger::new(survey.clocks(resolution, rules.two_way), span, resolution);
    let (mut pass, first, second) = round.run(|sent, flows| ledger.settle(sent, flows))?;
    let look_alikes = std::mem::take(&mut pass.waiting.look_alikes);
    let totals = ledger.totals(pass, first.side, second.side, span, look_alikes);
    Ok(Totals {
        aligned: aligned.is_some(),
        ..totals
    })
}

/// One reading of both captures side by side.
struct Round<'a> {
    ends: (End<'a>, End<'a>),
    rules: Rules,
    longest_ns: i64,
    offset_ns: i64,
}

impl Round<'_> {
    /// `settled` is called for every packet sent, in sending order, once it is known what became of it.
    fn run(
        &self,
        mut settled: impl FnMut(&Sent, &mut Flows),
    ) -> Result<(Pass, Source, Source), ReportError> {
        let (mut first, mut second) = (self.ends.0.open()?, self.ends.1.open()?);
        let mut pass = Pass::new(self.rules, false, 1 << 12);
        let mut offset_ns = self.offset_ns;
        let mut ahead = first.next(self.rules)?;
        while let Some(packet) = second.next(self.rules)? {
            let now = packet.at_ns.saturating_sub(offset_ns);
            // Packets that come back are seen here first, and there later.
            while let Some(sent) = &ahead
                && sent.at_ns <= now.saturating_add(self.longest_ns)
            {
                pass.sent(sent);
                ahead = first.next(self.rules)?;
            }
            if let Some(transit) = pass.arrived(&packet) {
                offset_ns = transit;
            }
            while let Some(oldest) = pass.waiting.front()
                && oldest.tx_ns < now.saturating_sub(self.longest_ns)
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
            ahead = first.next(self.rules)?;
        }
        Ok((pass, first, second))
    }
}
