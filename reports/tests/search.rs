//! A throughput search, from the probes' counts to the report.

mod synthetic;

use synthetic::{Fate, World};
use vifbench_reports::render;
use vifbench_reports::search_results::read;
use vifbench_scenarios::progress::Silent;
use vifbench_scenarios::search::Goal;
use vifbench_scenarios::units::Rate;
use vifbench_store::RunReader;
use vifbench_wire::protocol::Point;

/// No more than the first 480 packets of each flow arrive: about 800 packets/s over 0.6 s. `shadow` bears less.
fn narrow(variant: &str, _block: u32, _flow: u16, seq: u32) -> Fate {
    let most = if variant == "shadow" { 290 } else { 480 };
    let mut fate = Fate::of([4000, 6000, 40_000]);
    if seq >= most {
        fate.last = Point::Vif;
    }
    fate
}

#[test]
fn what_a_search_found_is_read_told_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    World {
        rates: vec![1000, 700, 400],
        fate: narrow,
        ..World::default()
    }
    .write(root);
    let path = root.join("run.json");
    let mut record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    record["scenario"]["sweep"] = serde_json::json!({});
    record["scenario"]["search"] =
        serde_json::json!({"min": "100/s", "max": "1000/s", "resolution": "50 %"});
    std::fs::write(&path, record.to_string()).unwrap();

    let run = RunReader::new(root);
    let seen = read(&run, &run.read_run().unwrap()).unwrap();
    let names: Vec<_> = seen.iter().map(|s| s.variant.as_str()).collect();
    assert_eq!(names, ["stock", "shadow"]);
    let stock = &seen[0];
    assert!(!stock.broken);
    assert_eq!(stock.tried.len(), 3);
    let at = |rate| stock.tried.iter().find(|t| t.rate == Rate::per_sec(rate));
    // The other flow's gaps are random, so that its count is not known to the packet.
    let highest = at(1000).unwrap();
    // Each capture of these runs also holds a frame of somebody else's, which a filter would keep out.
    assert_eq!(highest.lost, highest.due - 2 * 481);
    assert_eq!((highest.unsent, at(700).unwrap().lost), (0, 0));
    let ndr = stock.found.iter().find(|f| f.goal == Goal::Ndr).unwrap();
    assert_eq!(
        (ndr.lower, ndr.upper, ndr.unfinished),
        (Some(Rate::per_sec(700)), Some(Rate::per_sec(1000)), false)
    );
    assert_eq!(ndr.forwarded, Some(700.0));

    let rendered = render(root, &Silent).unwrap();
    assert_eq!(rendered.summary.search, seen);
    let page = std::fs::read_to_string(&rendered.index).unwrap();
    assert!(page.contains("Throughput search") && page.contains("#def-ndr"));
    assert!(root.join("report/figures/search.svg").exists());
    assert!(
        rendered
            .summary
            .to_text()
            .contains("stock: NDR 700/s a flow (1000/s is not borne)"),
        "{}",
        rendered.summary.to_text()
    );
}
