//! Whole runs from captures to report, against what is known of them.

mod synthetic;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polars::prelude::{ParquetReader, SerReader};
use synthetic::{Fate, SEND_TO_TX, START, World, plain};
use vifbench_reports::analyze::Options;
use vifbench_reports::compare::{Comparison, Finding, Meaning};
use vifbench_reports::error::ReportError;
use vifbench_reports::figures::{self, font, layout::lay_out, scene, sheet};
use vifbench_reports::run_analysis::{analyze, analyze_into};
use vifbench_reports::stats::Stats;
use vifbench_reports::summary::RunSummary;
use vifbench_reports::trial_summary::{TrialState, TrialSummary};
use vifbench_reports::verdict::{GroundKind, Verdict};
use vifbench_reports::{analyze_pair, analyze_run, packets, render};
use vifbench_scenarios::judge::{Judge, Least};
use vifbench_scenarios::progress::Silent;
use vifbench_scenarios::scenario::{Mode, Patches};
use vifbench_scenarios::units::Span;
use vifbench_store::{AnalysisWriter, Outcome, RunReader, StoreError};
use vifbench_wire::protocol::Point;
use vifbench_wire::schedule::Schedule;

fn written(world: &World) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    world.write(folder.path());
    folder
}

fn analysed(world: &World) -> (tempfile::TempDir, RunSummary) {
    let folder = written(world);
    let run = RunReader::new(folder.path());
    let analysis = analyze_into(&run, &AnalysisWriter::new(&run), &Silent).unwrap();
    (folder, analysis.summary)
}

/// Everything that can befall a packet, in flow 1 of the stock variant.
fn mishaps(variant: &str, block: u32, flow: u16, seq: u32) -> Fate {
    let mut fate = plain(variant, block, flow, seq);
    if variant != "stock" || flow != 1 {
        return fate;
    }
    match seq {
        // 50 lies within the warm-up: not counted.
        50 | 300 => fate.last = Point::Tx,
        400 => fate.last = Point::Vif,
        500 => fate.copies = 3,
        // Longer than the gap of 500 us: comes after the next.
        600 => fate.hops[2] += 600_000,
        700 => fate.corrupt = true,
        800 => fate.unseen_at_tx = true,
        _ => {}
    }
    fate
}

/// Sequence numbers of flow 1 that lie in the measured part, by the schedule.
fn measured_seqs(world: &World) -> Vec<u32> {
    let plan = &world.plan().trials[0];
    let total = world.warmup.nanos() + world.duration.nanos();
    Schedule::new(
        plan.flows.iter().map(|f| (f.flow, &f.arrivals, f.seed)),
        0,
        total,
    )
    .unwrap()
    .filter(|due| due.flow == 0)
    .filter(|due| due.at_ns as i64 + 2000 - SEND_TO_TX >= world.warmup.nanos() as i64)
    .map(|due| due.seq)
    .collect()
}

/// By the definition, slowly.
fn stats(mut values: Vec<i64>) -> Stats {
    values.sort_unstable();
    let n = values.len();
    let rank = |q: f64| values[((q * n as f64).ceil() as usize).max(1) - 1];
    let mean = (values.iter().sum::<i64>() as f64 / n as f64).round() as i64;
    Stats {
        n: n as u64,
        min: values[0],
        mean,
        p50: rank(0.5),
        p90: rank(0.9),
        p99: rank(0.99),
        p999: rank(0.999),
        max: values[n - 1],
    }
}

#[test]
fn every_number_is_the_known_one() {
    let world = World {
        fate: mishaps,
        ..World::default()
    };
    let (folder, summary) = analysed(&world);
    let seqs = measured_seqs(&world);
    let n = seqs.len() as u64;
    assert_eq!(n, 1000, "2000/s for half a second");
    let trial = &summary.trials[0];
    assert_eq!(trial.state, TrialState::Done(Outcome::Complete));
    let flow = &trial.flows[0];
    assert_eq!((flow.flow, flow.to.as_str()), (Some(1), "u1"));

    // Fates.
    let c = &flow.counts;
    assert_eq!((c.sent, c.received, c.matched), (n - 1, n - 3, n - 4));
    assert_eq!((c.lost, c.duplicated, c.unmatched), (3, 2, 1));
    assert_eq!((c.reordered, c.reorder_extent), (1, 1));
    assert_eq!((c.corrupt, c.unstamped, c.negative), (Some(1), 0, 0));
    let total = trial.total.as_ref().unwrap();
    assert_eq!((total.counts.lost, total.counts.corrupt), (3, Some(1)));

    // Delays.
    let delay = |seq: u32| -> Option<i64> {
        let fate = mishaps("stock", 1, 1, seq);
        let there = fate.last == Point::Rx && !fate.corrupt && !fate.unseen_at_tx;
        there.then(|| fate.hops.iter().sum())
    };
    let delays: Vec<i64> = seqs.iter().filter_map(|s| delay(*s)).collect();
    assert_eq!(flow.delay, Some(stats(delays.clone())));
    assert_eq!(flow.delay.unwrap().min, 50_000);
    assert_eq!(flow.delay.unwrap().max, 650_000);
    assert_eq!(
        flow.delay_bound_ns,
        Some(500),
        "250 ns of each guest's clock"
    );
    let ipdv: Vec<i64> = seqs
        .iter()
        .filter_map(|s| Some(delay(*s)? - delay(s.checked_sub(1).filter(|p| seqs.contains(p))?)?))
        .collect();
    assert_eq!(flow.ipdv, Some(stats(ipdv.clone())));
    assert_eq!(
        flow.abs_ipdv,
        Some(stats(ipdv.iter().map(|v| v.abs()).collect()))
    );
    assert_eq!(
        flow.pdv,
        Some(stats(delays.iter().map(|d| d - 50_000).collect()))
    );

    // RFC 3550, in order of arrival: 600 comes after 601.
    let mut order: Vec<u32> = seqs
        .iter()
        .copied()
        .filter(|s| delay(*s).is_some())
        .collect();
    let late = order.iter().position(|s| *s == 600).unwrap();
    order.swap(late, late + 1);
    let (mut j, mut sum) = (0.0_f64, 0.0);
    for pair in order.windows(2) {
        let change = (delay(pair[1]).unwrap() - delay(pair[0]).unwrap()).abs() as f64;
        j += (change - j) / 16.0;
        sum += j;
    }
    let close = |a: f64, b: f64| (a - b).abs() < 1e-6 * b;
    assert!(
        close(flow.jitter_last_ns.unwrap(), j),
        "{:?} {j}",
        flow.jitter_last_ns
    );
    assert!(close(
        flow.jitter_mean_ns.unwrap(),
        sum / (order.len() - 1) as f64
    ));

    // Hops: within dom0 nothing depends on a clock.
    let hops: Vec<_> = flow
        .hops
        .iter()
        .map(|h| (h.from, h.to, h.bound_ns, h.lost))
        .collect();
    assert_eq!(
        hops,
        vec![
            (Point::Tx, Point::Nic, Some(250), 1),
            (Point::Nic, Point::Vif, Some(0), 0),
            (Point::Vif, Point::Rx, Some(250), 2),
        ]
    );
    assert_eq!(
        flow.hops[1].time.map(|t| (t.n, t.min, t.max)),
        Some((n - 1, 6000, 6000))
    );
    let last: Vec<i64> = seqs
        .iter()
        .filter(|s| delay(**s).is_some() || **s == 800)
        .map(|s| mishaps("stock", 1, 1, *s).hops[2])
        .collect();
    assert_eq!(flow.hops[2].time, Some(stats(last)));

    // Rates: 64-byte frames with 18 bytes of payload over half a second.
    let received = (n - 3) as f64;
    assert!(close(
        flow.rates.throughput_bps,
        received * 64.0 * 8.0 / 0.5
    ));
    assert!(close(flow.rates.goodput_bps, received * 18.0 * 8.0 / 0.5));
    assert!(close(flow.rates.achieved_pps, (n - 1) as f64 / 0.5));
    assert!(close(flow.rates.offered_pps, 2000.0));
    let gap = flow.gap_error.unwrap();
    assert_eq!((gap.min, gap.max), (0, 0), "the made-up generator is exact");
    assert_eq!(flow.send_to_tx.unwrap().p50, SEND_TO_TX);

    // CPU and containers.
    let dom0 = trial.dom0().unwrap();
    assert!((dom0.percent - 30.0).abs() < 1e-6);
    assert!(
        trial.containers.is_empty(),
        "stock modules have no such counters"
    );
    let shadow = &summary.trials[1];
    assert_eq!(shadow.per_container(Some("u1")), Some(3.0));
    assert_eq!(shadow.containers[0].mean_wait_ns, Some(600_000.0));

    // The other flow is untouched.
    let other = &trial.flows[1];
    assert_eq!(
        (
            other.counts.lost,
            other.counts.duplicated,
            other.counts.unmatched
        ),
        (0, 0, 0)
    );
    assert_eq!(other.delay.unwrap().max, 50_900);

    // Foreign packets are counted where they were.
    assert!(
        trial.captures.iter().all(|c| c.foreign == 1),
        "{:?}",
        trial.captures
    );
    assert!(folder.path().join("packets/1.parquet").exists());
}

/// Whoever compares two archived runs may not be able to write, and has no reason to.
#[test]
fn an_analysis_writes_nothing() {
    let folder = written(&World::default());
    let files = || {
        let mut found = Vec::new();
        let mut folders = vec![folder.path().to_owned()];
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                let about = std::fs::metadata(&path).unwrap();
                found.push((path.clone(), about.len(), about.modified().unwrap()));
                if about.is_dir() {
                    folders.push(path);
                }
            }
        }
        found.sort();
        found
    };
    let before = files();
    analyze_run(folder.path(), &Silent).unwrap();
    assert_eq!(files(), before);
}

#[test]
fn tables_hold_every_packet_and_every_row() {
    let (folder, summary) = analysed(&World {
        fate: mishaps,
        ..World::default()
    });
    let read = |name: &str| {
        let file = std::fs::File::open(folder.path().join(name)).unwrap();
        ParquetReader::new(file).finish().unwrap()
    };
    let packets = read("packets/1.parquet");
    let flow1 = packets
        .column("flow")
        .unwrap()
        .u32()
        .unwrap()
        .iter()
        .filter(|f| *f == Some(1));
    assert_eq!(
        flow1.count(),
        1200,
        "0.6 s at 2000/s, warm-up and lost ones included"
    );
    let null = |name: &str| packets.column(name).unwrap().null_count();
    assert_eq!(
        (
            null("send_ns"),
            null("tx_ns"),
            null("nic_ns"),
            null("vif_ns")
        ),
        (0, 1, 2, 2)
    );
    assert_eq!(null("rx_ns"), 4);
    let trials = read("trials.parquet");
    let rows: usize = summary.trials.iter().map(|t| t.rows().count()).sum();
    assert_eq!((trials.height(), rows), (6, 6));
    let lost = trials.column("lost").unwrap().u64().unwrap();
    assert_eq!(
        lost.iter().flatten().sum::<u64>(),
        6,
        "three in the flow, the same in the total"
    );
}

#[test]
fn without_a_clock_bound_only_variations_are_claimed() {
    let (folder, summary) = analysed(&World {
        bound: None,
        ..World::default()
    });
    for flow in summary.trials.iter().flat_map(TrialSummary::rows) {
        assert_eq!((flow.delay, flow.delay_bound_ns), (None, None));
        assert_eq!(flow.pdv.unwrap().max, 900);
        assert_eq!(flow.abs_ipdv.unwrap().max, 900);
        let times: Vec<bool> = flow.hops.iter().map(|h| h.time.is_some()).collect();
        assert_eq!(times, [false, true, false], "only the hop within dom0");
    }
    assert_eq!(summary.judgement.verdict, Verdict::Inconclusive);
    assert!(
        summary.judgement.reason.contains("no error bound"),
        "{}",
        summary.judgement.reason
    );
    assert!(
        summary
            .comparisons
            .iter()
            .all(|c| !c.metric.starts_with("delay"))
    );
    let ids: Vec<_> = figures_of(folder.path()).iter().map(|f| f.id).collect();
    assert_eq!(
        ids,
        ["differences", "hops", "jitter", "rates", "cpu"],
        "no delay, no figure of it"
    );
}

/// Eight blocks, of which the verdict tells the differences; more than 1 % of the median delay matters.
fn judged() -> World {
    World {
        blocks: 8,
        duration: Span::from_millis(100),
        bound: Some(200.0),
        dom0_percent: |_, _| 30.0,
        judge: Judge {
            matters: [("delay_p50".to_owned(), Least::Percent(1.0))].into(),
            ..Judge::default()
        },
        ..World::default()
    }
}

fn find(summary: &RunSummary, metric: &str) -> Comparison {
    let mut all = summary.comparisons.iter();
    all.find(|c| c.metric == metric && c.flow == Some(1))
        .unwrap()
        .clone()
}

#[test]
fn a_clear_difference_is_a_regression_with_its_reason() {
    // Shadow is slower by 1000 ns; the bound of a difference is 4 x 200 ns.
    let (folder, summary) = analysed(&judged());
    let delay = find(&summary, "delay_p50");
    assert_eq!(
        (delay.pairs.len(), delay.mean, delay.bound),
        (8, 1000.0, Some(800.0))
    );
    assert_eq!(delay.finding, Finding::Higher, "{}", delay.sentence);
    assert_eq!(delay.meaning, Meaning::Worse);
    // Of 2^8 choices of signs only this and its mirror image are as extreme.
    assert_eq!(delay.p, Some(2.0 / 256.0));
    assert_eq!(
        delay.sentence,
        "p50 delay: higher with shadow than with stock by +1.00 µs (+1.98 %) (95 % interval +1.00 µs to +1.00 µs over \
         8 pairs, p = 0.008, bound 800 ns; counts above its bound of 800 ns)."
    );
    assert_eq!(find(&summary, "throughput").finding, Finding::Equal);
    assert_eq!(summary.judgement.verdict, Verdict::Regression);
    assert!(
        summary.judgement.reason.contains("p50 delay: higher"),
        "{}",
        summary.judgement.reason
    );
    let junit = vifbench_reports::ci::junit(&summary).unwrap();
    assert!(junit.contains("type=\"REGRESSION\""), "{junit}");
    let failures = junit.matches("<failure ").count();
    assert!(failures > 1, "the verdict and what it rests on: {junit}");
    assert!(
        junit.contains(&format!("failures=\"{failures}\"")),
        "{junit}"
    );
    let judgement = &summary.judgement;
    assert_eq!(judgement.grounds.len(), judgement.findings.len());
    assert_eq!(judgement.grounds[0].kind, GroundKind::Worse);
    let first = judgement.grounds[0].comparisons[0];
    assert!(judgement.findings[0].starts_with(&summary.comparisons[first].place()));
    let markdown = vifbench_reports::ci::markdown(&summary);
    assert!(markdown.starts_with("### ❌ REGRESSION"), "{markdown}");

    // Known, until a day that has not passed when the run started.
    let known = |expires: &str| {
        format!("acknowledged:\n  - {{metric: delay_p50, reason: the price, expires: {expires}}}\n")
    };
    let file = folder.path().join("acknowledged.yaml");
    std::fs::write(&file, known("2099-01-01")).unwrap();
    let summary = analyze_run(folder.path(), &Silent).unwrap();
    let judgement = &summary.judgement;
    assert_ne!(judgement.verdict, Verdict::Regression, "{judgement:?}");
    assert!(
        judgement
            .findings
            .iter()
            .any(|f| f.ends_with("acknowledged until 2099-01-01: the price")),
        "{judgement:?}"
    );
    assert!(
        !vifbench_reports::ci::junit(&summary)
            .unwrap()
            .contains("<failure")
    );
    std::fs::write(&file, known("2001-01-01")).unwrap();
    let judgement = analyze_run(folder.path(), &Silent).unwrap().judgement;
    assert_eq!(judgement.verdict, Verdict::Regression);
    assert!(
        judgement.reason.contains("expired on 2001-01-01"),
        "{judgement:?}"
    );
}

/// Of a single flow the row of all flows is judged, and that of the flow says the same.
#[test]
fn a_known_regression_of_a_single_flow_is_no_failure() {
    let folder = written(&judged());
    let file = folder.path().join("run.json");
    let mut run: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    run["scenario"]["traffic"].as_array_mut().unwrap().pop();
    std::fs::write(&file, run.to_string()).unwrap();
    let known = "acknowledged:\n  - {metric: delay_p50, reason: the price, expires: 2099-01-01}\n";
    std::fs::write(folder.path().join("acknowledged.yaml"), known).unwrap();
    let summary = analyze_run(folder.path(), &Silent).unwrap();
    let judgement = &summary.judgement;
    assert_ne!(judgement.verdict, Verdict::Regression, "{judgement:?}");
    let known = judgement
        .grounds
        .iter()
        .find(|g| g.kind == GroundKind::Acknowledged);
    assert!(known.unwrap().comparisons.len() > 1, "{judgement:?}");
    let junit = vifbench_reports::ci::junit(&summary).unwrap();
    assert!(!junit.contains("<failure"), "{junit}");
}

#[test]
fn what_is_better_is_an_improvement() {
    let (_folder, summary) = analysed(&World {
        fate: |variant, block, flow, seq| {
            plain(
                if variant == "shadow" {
                    "stock"
                } else {
                    "shadow"
                },
                block,
                flow,
                seq,
            )
        },
        ..judged()
    });
    assert_eq!(find(&summary, "delay_p50").meaning, Meaning::Better);
    assert_eq!(
        summary.judgement.verdict,
        Verdict::Improvement,
        "{:?}",
        summary.judgement.findings
    );
    assert!(
        !vifbench_reports::ci::junit(&summary)
            .unwrap()
            .contains("<failure")
    );
}

#[test]
fn a_difference_within_the_bound_decides_nothing() {
    let (_folder, summary) = analysed(&World {
        bound: Some(300.0),
        ..judged()
    });
    let delay = find(&summary, "delay_p50");
    assert_eq!(delay.finding, Finding::CannotTell, "{}", delay.sentence);
    assert!(
        delay
            .sentence
            .contains("difference below the bound of 1.20 µs, and"),
        "{}",
        delay.sentence
    );
    assert_eq!(summary.judgement.verdict, Verdict::Inconclusive);
    // Within dom0 and for variations the clocks do not matter.
    assert_eq!(find(&summary, "hop_nic_vif").finding, Finding::Equal);
    assert_eq!(find(&summary, "abs_ipdv_mean").finding, Finding::Equal);
}

#[test]
fn too_few_blocks_and_pairs_that_disagree_decide_nothing() {
    let (_folder, summary) = analysed(&World {
        blocks: 2,
        ..judged()
    });
    let delay = find(&summary, "delay_p50");
    assert_eq!(delay.finding, Finding::CannotTell);
    assert!(
        delay.sentence.contains("2 pairs cannot decide, 6 can"),
        "{}",
        delay.sentence
    );
    assert_eq!(summary.judgement.verdict, Verdict::Inconclusive);

    let (_folder, summary) = analysed(&World {
        bound: Some(0.0),
        fate: |variant, block, flow, seq| {
            let mut fate = plain("stock", block, flow, seq);
            if variant == "shadow" {
                fate.hops[1] += if block % 2 == 1 { 9000 } else { -8000 };
            }
            fate
        },
        ..judged()
    });
    let delay = find(&summary, "delay_p50");
    assert_eq!(delay.finding, Finding::CannotTell, "{}", delay.sentence);
    assert!(
        delay.sentence.contains("not significant"),
        "{}",
        delay.sentence
    );
}

#[test]
fn a_bound_that_does_not_hold_is_noticed() {
    let (_folder, summary) = analysed(&World {
        fate: |_, _, _, _| Fate::of([-20_000, 6000, 10_000]),
        ..World::default()
    });
    let flow = &summary.trials[0].flows[0];
    assert_eq!(flow.counts.negative, flow.counts.matched);
    assert_eq!(flow.hops[0].negative, flow.counts.matched);
    assert_eq!(summary.judgement.verdict, Verdict::Inconclusive);
    assert!(
        summary.trials[0]
            .warnings
            .iter()
            .any(|w| w.contains("clock bound does not hold"))
    );
}

#[test]
fn a_missing_or_damaged_capture_is_named_and_the_rest_is_measured() {
    let missing: fn(&Path) = |path| std::fs::remove_file(path).unwrap();
    let cut: fn(&Path) = |path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    let garbage: fn(&Path) = |path| std::fs::write(path, b"not a capture at all").unwrap();
    for damage in [missing, cut, garbage] {
        let folder = written(&World::default());
        damage(&folder.path().join("trials/1/u1/rx-u1.pcap.zst"));
        let run = RunReader::new(folder.path());
        let record = run.read_trial(1).unwrap().unwrap();
        let error = packets::read_trial(&run, &run.read_run().unwrap(), &record).unwrap_err();
        assert!(matches!(error, ReportError::Capture { .. }), "{error}");
        assert!(
            error.to_string().contains("trials/1/u1/rx-u1.pcap.zst"),
            "{error}"
        );

        let rendered = render(folder.path(), &Silent).unwrap();
        let summary = rendered.summary;
        assert_eq!(summary.judgement.verdict, Verdict::Infra);
        assert!(
            summary.judgement.reason.contains("rx-u1.pcap.zst"),
            "{}",
            summary.judgement.reason
        );
        assert!(matches!(
            summary.trials[0].state,
            TrialState::Unreadable { .. }
        ));
        assert_eq!(summary.trials[1].state, TrialState::Done(Outcome::Complete));
        assert!(
            std::fs::read_to_string(rendered.index)
                .unwrap()
                .contains("rx-u1.pcap.zst")
        );
    }
}

/// Paths and modification times of everything in a folder.
fn listing(folder: &Path) -> BTreeMap<PathBuf, std::time::SystemTime> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        all.insert(entry.path(), entry.metadata().unwrap().modified().unwrap());
        if entry.file_type().unwrap().is_dir() {
            all.extend(listing(&entry.path()));
        }
    }
    all
}

#[test]
fn reading_a_run_writes_nothing_into_it() {
    let folder = written(&World::default());
    let before = listing(folder.path());
    let summary = analyze_run(folder.path(), &Silent).unwrap();
    assert_eq!(listing(folder.path()), before);
    // What `report` makes of it is the same.
    let rendered = render(folder.path(), &Silent).unwrap();
    assert_eq!(rendered.summary, summary);
}

#[test]
fn damaged_json_is_named() {
    let folder = written(&World::default());
    std::fs::write(folder.path().join("trials/2/dom0/result.json"), "{").unwrap();
    let summary = analyze_run(folder.path(), &Silent).unwrap();
    assert!(
        summary
            .judgement
            .reason
            .contains("trials/2/dom0/result.json")
    );
    std::fs::write(folder.path().join("run.json"), "{}").unwrap();
    let error = analyze_run(folder.path(), &Silent).unwrap_err();
    assert!(
        matches!(error, ReportError::Store(StoreError::Json { .. }))
            && error.to_string().contains("run.json")
    );
    let error = analyze_run(Path::new("/nonexistent"), &Silent).unwrap_err();
    assert!(
        matches!(error, ReportError::Store(StoreError::Read { .. })),
        "{error}"
    );
}

#[test]
fn a_capture_name_that_leaves_its_folder_is_refused() {
    let folder = written(&World::default());
    let path = folder.path().join("trials/1/u1/result.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("rx-u1.pcap.zst", "../../../../../etc/passwd"),
    )
    .unwrap();
    let run = RunReader::new(folder.path());
    let record = run.read_trial(1).unwrap().unwrap();
    let error = packets::read_trial(&run, &run.read_run().unwrap(), &record).unwrap_err();
    assert!(
        matches!(error, ReportError::Store(StoreError::UnsafeName { .. })),
        "{error}"
    );
}

#[test]
fn a_trial_without_packets_is_a_doubt_not_a_crash() {
    let folder = written(&World {
        silent: true,
        ..World::default()
    });
    let summary = render(folder.path(), &Silent).unwrap().summary;
    assert_eq!(summary.judgement.verdict, Verdict::Inconclusive);
    assert!(
        summary
            .judgement
            .findings
            .iter()
            .any(|f| f.contains("no packet was seen at tx"))
    );
    assert!(
        summary
            .judgement
            .findings
            .iter()
            .any(|f| f.contains("sent 0 of"))
    );
}

#[test]
fn failures_set_the_verdict_and_are_shown() {
    let crash = Outcome::DutCrash {
        reason: "dom0 stopped answering".into(),
        console: vec![
            "BUG: <b>page</b> fault\u{1b}[31m".into(),
            "(XEN) Dom0 crashed".into(),
        ],
    };
    let setup = Outcome::Setup {
        reason: "xen_netback did not load".into(),
    };
    let infra = Outcome::Infra {
        reason: "SSH to u2 dropped".into(),
    };
    let cases = [
        (
            vec![(1, infra.clone()), (2, setup.clone()), (3, crash)],
            vec![4],
            Verdict::DutCrash,
        ),
        (vec![(1, infra.clone()), (2, setup)], vec![], Verdict::Setup),
        (vec![(1, infra)], vec![], Verdict::Infra),
        (vec![], vec![4], Verdict::Infra),
    ];
    for (outcomes, not_run, expected) in cases {
        let folder = written(&World {
            blocks: 2,
            outcomes,
            not_run,
            ..World::default()
        });
        let rendered = render(folder.path(), &Silent).unwrap();
        let summary = &rendered.summary;
        assert_eq!(
            summary.judgement.verdict, expected,
            "{:?}",
            summary.judgement
        );
        assert_eq!(summary.trials.len(), 4);
        if expected == Verdict::DutCrash {
            let page = std::fs::read_to_string(&rendered.index).unwrap();
            assert!(page.contains("BUG: &lt;b&gt;page&lt;/b&gt; fault\u{fffd}[31m"));
            assert!(page.contains("(XEN) Dom0 crashed"));
            assert!(page.contains("vifbench resume"));
            assert_eq!(summary.judgement.findings.len(), 4);
        }
    }
}

#[test]
fn an_open_run_says_that_its_times_mean_nothing() {
    let folder = written(&World {
        mode: Mode::Open,
        bound: None,
        ..World::default()
    });
    let rendered = render(folder.path(), &Silent).unwrap();
    assert_eq!(rendered.summary.judgement.verdict, Verdict::Pass);
    let page = std::fs::read_to_string(&rendered.index).unwrap();
    for mark in [
        "open trials of a virtual lab: times mean nothing",
        "virtual lab: instruction time, not hardware time",
    ] {
        // In the heading, at the tables and in every figure.
        assert!(page.matches(mark).count() >= 6, "{mark}");
        assert!(rendered.summary.to_text().contains(mark));
    }
    // The generator's clock is not the reference: the measured part begins a warm-up after the first packet.
    let flow = &rendered.summary.trials[0].flows[0];
    assert!(
        (995..=1001).contains(&flow.counts.sent),
        "{}",
        flow.counts.sent
    );
}

#[test]
fn removing_captures_changes_nothing_that_was_known() {
    let folder = written(&judged());
    let before = render(folder.path(), &Silent).unwrap().summary;
    let run = vifbench_store::RunReader::new(folder.path());
    assert!(vifbench_store::remove_captures(&run).unwrap() > 0);
    // Twice, as the second report is made from what the first one left.
    for _ in 0..2 {
        let after = render(folder.path(), &Silent).unwrap().summary;
        assert_eq!(after.judgement, before.judgement);
        assert_eq!(after.comparisons, before.comparisons);
        assert_eq!(after.variants, before.variants);
        let told = &after.trials[0].warnings;
        assert_eq!(
            told.iter()
                .filter(|w| w.contains("captures were removed"))
                .count(),
            1,
            "{told:?}"
        );
    }
    std::fs::remove_dir_all(folder.path().join("report")).unwrap();
    let nothing_left = render(folder.path(), &Silent).unwrap().summary;
    assert_eq!(nothing_left.judgement.verdict, Verdict::Infra);
}

#[test]
fn one_missing_capture_is_no_removal() {
    let folder = written(&judged());
    let before = render(folder.path(), &Silent).unwrap().summary;
    let capture = &before.trials[0].captures[0].file;
    std::fs::remove_file(folder.path().join(capture)).unwrap();
    let after = render(folder.path(), &Silent).unwrap().summary;
    assert_eq!(after.judgement.verdict, Verdict::Infra);
}

#[test]
fn an_open_run_on_hardware_is_judged_on_its_times() {
    let (_folder, summary) = analysed(&World {
        mode: Mode::Open,
        is_virtual: false,
        bound: Some(1.0),
        ..judged()
    });
    assert!(summary.marks.is_empty(), "{:?}", summary.marks);
    let delay = find(&summary, "delay_p50");
    assert!(delay.judged);
    assert_eq!(delay.meaning, Meaning::Worse, "{}", delay.sentence);
    assert_eq!(summary.judgement.verdict, Verdict::Regression);
}

#[test]
fn hostile_names_stay_text() {
    let evil = "\"><img src=x onerror=alert(1)></svg><script>alert(2)</script>";
    let folder = written(&World {
        name: evil.into(),
        about: evil.into(),
        variants: vec![
            ("stock".into(), Patches::Stock),
            (evil.into(), Patches::Shadow),
        ],
        ..World::default()
    });
    let rendered = render(folder.path(), &Silent).unwrap();
    for file in rendered
        .files
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "html" || e == "svg"))
    {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(
            !text.contains("<script>alert") && !text.contains("<img"),
            "{}",
            file.display()
        );
        if file.ends_with("index.html") {
            assert!(text.contains("&lt;script&gt;alert(2)"), "shown as text");
            assert!(
                text.contains("console=hvc0 &lt;script&gt;"),
                "the host's command line too"
            );
            assert!(text.contains("default-src 'none'"));
            let figures = figures_of(folder.path()).len();
            assert_eq!(text.matches("</svg>").count(), figures, "one for each");
            // Ours, and the values of each figure, in which no `<` stands.
            assert_eq!(text.matches("<script").count(), figures + 1);
            assert_eq!(text.matches("</script").count(), figures + 1);
        }
    }
}

/// Every link of the page leads somewhere: to a place in it, or to a file of the run.
#[test]
fn no_link_is_dead_and_nothing_comes_from_elsewhere() {
    let folder = written(&World {
        blocks: 2,
        fate: mishaps,
        ..World::default()
    });
    let rendered = render(folder.path(), &Silent).unwrap();
    let page = std::fs::read_to_string(&rendered.index).unwrap();
    let links: Vec<&str> = page
        .split("href=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert!(links.len() > 100, "{}", links.len());
    for link in links {
        match link.strip_prefix('#') {
            Some(id) => assert!(page.contains(&format!("id=\"{id}\"")), "{link}"),
            None => assert!(
                rendered.index.parent().unwrap().join(link).exists(),
                "{link}"
            ),
        }
    }
    for elsewhere in [
        "src=",
        "url(",
        "@import",
        "<link",
        "http://",
        "<script>alert",
    ] {
        let svg_namespace = "http://www.w3.org/2000/svg";
        assert!(
            !page.replace(svg_namespace, "").contains(elsewhere),
            "{elsewhere}"
        );
    }
}

#[test]
fn rendering_twice_gives_the_same_bytes() {
    let folder = written(&World {
        blocks: 2,
        rates: vec![200, 2000],
        fate: mishaps,
        ..World::default()
    });
    let snapshot = || {
        render(folder.path(), &Silent).unwrap();
        let mut files = BTreeMap::new();
        let mut folders = vec![folder.path().join("report"), folder.path().join("packets")];
        files.insert(
            PathBuf::from("trials.parquet"),
            std::fs::read(folder.path().join("trials.parquet")).unwrap(),
        );
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path.clone(), std::fs::read(path).unwrap());
                }
            }
        }
        files
    };
    let (first, second) = (snapshot(), snapshot());
    assert_eq!(
        first.keys().collect::<Vec<_>>(),
        second.keys().collect::<Vec<_>>()
    );
    let figures = figures_of(folder.path()).len();
    assert!(figures >= 9, "{figures}");
    assert_eq!(
        first.len(),
        1 + 8 + 6 + 2 + figures * 12,
        "tables, packets, page and data, LaTeX, figures"
    );
    for (path, bytes) in &first {
        assert!(
            !bytes.is_empty() && *bytes == second[path],
            "{} differs",
            path.display()
        );
    }
}

#[test]
fn the_summary_as_text() {
    let (_folder, summary) = analysed(&World {
        blocks: 2,
        fate: mishaps,
        ..World::default()
    });
    insta::assert_snapshot!(summary.to_text());
}

#[test]
fn the_summary_as_json() {
    let (_folder, summary) = analysed(&World {
        duration: Span::from_millis(50),
        warmup: Span::from_millis(50),
        ..World::default()
    });
    let text = serde_json::to_string_pretty(&summary).unwrap();
    insta::assert_snapshot!(text);
    let back: RunSummary = serde_json::from_str(&text).unwrap();
    assert_eq!(back, summary);
}

/// Every file of a figure says where its numbers come from; other data have another name.
#[test]
fn figures_carry_their_origin() {
    let folder = written(&World::default());
    render(folder.path(), &Silent).unwrap();
    let data = |root: &Path| -> String {
        let page = std::fs::read_to_string(root.join("report/index.html")).unwrap();
        let from = page.find("blake3:").expect("the page names its data");
        page[from..from + 39].to_owned()
    };
    let name = data(folder.path());
    let build_id = "00112233445566778899aabbccddeeff00112233";
    let report = folder.path().join("report");
    for figure in figures_of(folder.path()) {
        for ending in [
            ".svg",
            ".png",
            ".tex",
            "-ieee-1col.svg",
            "-ieee-2col.pdf",
            "-acm-1col.pdf",
        ] {
            let path = report
                .join("figures")
                .join(format!("{}{ending}", figure.id));
            let bytes = std::fs::read(&path).unwrap();
            for fact in [
                "20261123T000000-test",
                build_id,
                &name,
                "virtual lab",
                "2 trials",
                "0.1.0",
            ] {
                // A PDF's texts are UTF-16 in hex where one character asks for it.
                let hex: Vec<String> = fact.encode_utf16().map(|c| format!("{c:04X}")).collect();
                let hex = hex.concat();
                let holds = |what: &[u8]| bytes.windows(what.len()).any(|w| w == what);
                assert!(
                    holds(fact.as_bytes()) || holds(hex.as_bytes()),
                    "{}: {fact}",
                    path.display()
                );
            }
        }
        let csv =
            std::fs::read_to_string(report.join(format!("figures/{}.csv", figure.id))).unwrap();
        assert!(csv.lines().count() > 2 && csv.lines().skip(1).all(|l| l.ends_with(&name)));
    }
    for table in ["results", "comparisons"] {
        let tex = std::fs::read_to_string(report.join(format!("tables/{table}.tex"))).unwrap();
        assert!(tex.contains(&name) && tex.contains(build_id) && tex.contains("2 trials"));
    }
    let event = folder.path().join("events.jsonl");
    std::fs::write(&event, "").unwrap();
    render(folder.path(), &Silent).unwrap();
    assert_eq!(data(folder.path()), name, "events are no data");
    let trial = folder.path().join("trials/1/trial.json");
    let text = std::fs::read_to_string(&trial).unwrap();
    std::fs::write(&trial, format!("{text} ")).unwrap();
    render(folder.path(), &Silent).unwrap();
    assert_ne!(data(folder.path()), name);
}

fn figures_of(root: &Path) -> Vec<figures::chart::Figure> {
    font::register().unwrap();
    figures::figures(&analyze(&RunReader::new(root), &Silent).unwrap())
}

/// No text over another or out of the picture: in the smallest run and in a wide one with long names.
#[test]
fn figures_are_readable() {
    let long = "a-variant-with-a-very-long-name-that-nobody-should-choose-but-somebody-will";
    let worlds = [
        World::default(),
        World {
            rates: vec![20, 200, 2000],
            blocks: 2,
            warmup: Span::from_millis(20),
            variants: vec![
                ("stock".into(), Patches::Stock),
                (long.into(), Patches::Shadow),
                ("third".into(), Patches::Shadow),
                ("fourth".into(), Patches::Shadow),
            ],
            mode: Mode::Open,
            fate: mishaps,
            ..World::default()
        },
        World {
            fate: |_, _, _, _| Fate::of([0, 0, 0]),
            bound: Some(0.0),
            ..World::default()
        },
        World {
            bound: None,
            fate: |_, _, _, seq| Fate::of([seq.into(), 0, 70_000_000]),
            ..World::default()
        },
    ];
    for world in worlds {
        let folder = written(&world);
        let all = figures_of(folder.path());
        assert!(all.len() >= 4);
        for figure in all {
            for on in sheet::PAPERS.iter().chain([&sheet::PAGE]) {
                is_readable(&figure, on);
            }
        }
    }
}

fn is_readable(figure: &figures::chart::Figure, on: &sheet::Sheet) {
    let drawing = lay_out(figure, on).scene;
    let boxes = text_boxes(&drawing);
    let place = format!("{} ({})", figure.id, on.name);
    for (i, (a, text)) in boxes.iter().enumerate() {
        assert!(
            a.0 >= 0.0 && a.1 >= 0.0 && a.2 <= drawing.width && a.3 <= drawing.height,
            "{place}: {text:?} leaves the picture: {a:?}"
        );
        for (b, other) in &boxes[..i] {
            let apart = a.2 <= b.0 || b.2 <= a.0 || a.3 <= b.1 || b.3 <= a.1;
            assert!(apart, "{place}: {text:?} lies on {other:?}");
        }
    }
    let all: Vec<&str> = boxes.iter().map(|(_, text)| text.as_str()).collect();
    let all = all.join(" ");
    // The mark of the lab, and on how much the figure rests.
    assert!(all.contains("virtual lab"), "{place}: {all}");
    assert!(all.contains("measured packets"), "{place}: {all}");
}

type TextBox = ((f64, f64, f64, f64), String);

fn text_boxes(drawing: &scene::Scene) -> Vec<TextBox> {
    let texts = drawing.shapes.iter().filter_map(|shape| match shape {
        scene::Shape::Text(text) => Some(text),
        _ => None,
    });
    texts
        .map(|t| {
            let long = font::width(&t.text, t.size, t.bold);
            let start = match t.across {
                scene::Across::Left => 0.0,
                scene::Across::Middle => -long / 2.0,
                scene::Across::Right => -long,
            };
            let half = t.size * 0.4;
            let extent = if t.upright {
                (t.x - half, t.y - start - long, t.x + half, t.y - start)
            } else {
                (t.x + start, t.y - half, t.x + start + long, t.y + half)
            };
            (extent, t.text.clone())
        })
        .collect()
}

#[test]
fn two_captures_alone() {
    let folder = written(&World {
        fate: mishaps,
        ..World::default()
    });
    let at = |name: &str| folder.path().join("trials/1").join(name);
    // Only flow 1 arrives at u1, so that all of flow 2 counts as lost.
    let pair = analyze_pair(
        &at("gen/tx.pcap.zst"),
        &at("u1/rx-u1.pcap.zst"),
        &Options::default(),
    )
    .unwrap();
    assert_eq!((pair.delay_us, pair.delay_bound_us), (None, None));
    assert_eq!(
        (pair.duplicated, pair.reordered, pair.unmatched_rx),
        (2, Some(1), 1)
    );
    assert_eq!(pair.corrupt_rx, 1);
    // Warm-up and all: 1200 packets, of which 50, 300, 400 and 700 did not arrive, and 800 is not in tx.
    assert_eq!((pair.rx_packets, pair.matched), (1200 - 4 + 2, 1200 - 5));
    assert!((pair.pdv_us.unwrap().max - 600.0).abs() < 1e-9);

    // One host, one clock: an absolute delay.
    let pair = analyze_pair(
        &at("dom0/nic.pcap.zst"),
        &at("dom0/vif-u2.pcap.zst"),
        &Options {
            clock_bound_ns: Some(0),
            ..Options::default()
        },
    )
    .unwrap();
    let delay = pair.delay_us.unwrap();
    assert_eq!(
        (delay.min, delay.p50, delay.max, pair.delay_bound_us),
        (6.0, 6.0, 6.0, Some(0.0))
    );
    assert_eq!(pair.reordered, Some(0));
    let keys: Vec<String> = match serde_json::to_value(&pair).unwrap() {
        serde_json::Value::Object(map) => map.keys().cloned().collect(),
        other => panic!("not an object: {other}"),
    };
    for key in [
        "tx_packets",
        "rx_packets",
        "matched",
        "lost",
        "duplicated",
        "reordered",
        "unmatched_rx",
        "delay_us",
        "ipdv_us",
        "pdv_us",
        "rfc3550_jitter_us",
        "rfc3550_jitter_last_us",
        "throughput_mbps",
        "skew_ppm",
        "delay_bound_us",
        "timestamp_source",
        "warnings",
    ] {
        assert!(keys.iter().any(|k| k == key), "{key}");
    }
    let error = analyze_pair(
        &at("gen/tx.pcap.zst"),
        Path::new("/nonexistent"),
        &Options::default(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("/nonexistent"), "{error}");
}

#[test]
fn times_lie_on_the_reference_clock() {
    let folder = written(&World::default());
    let run = RunReader::new(folder.path());
    let record = run.read_trial(1).unwrap().unwrap();
    let read = packets::read_trial(&run, &run.read_run().unwrap(), &record).unwrap();
    for packet in &read.packets {
        let due = START + packet.due_ns.unwrap();
        assert_eq!(packet.at(Point::Tx), Some(due + 2000));
        assert_eq!(packet.send_ns, due + 2000 - SEND_TO_TX);
        let hops: i64 = plain("stock", 1, packet.flow, packet.seq).hops.iter().sum();
        assert_eq!(packet.at(Point::Rx), Some(due + 2000 + hops));
    }
}
