//! What a run is to give.

use serde_json::Value;
use vifbench_wire::packet::{Parsed, parse};
use vifbench_wire::pcap_file::Reader;

use crate::support::{Lab, SMALL, events, open_path, stock_only, tree};
use vifbench_testing::{Need, needs};

/// Trial records of a run, in order.
fn trials(lab: &Lab) -> Vec<Value> {
    let folder = lab.run().join("trials");
    let mut numbers: Vec<u32> = std::fs::read_dir(&folder)
        .expect("the folder is read")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
        .into_iter()
        .map(|number| {
            let text = std::fs::read(folder.join(number.to_string()).join("trial.json"))
                .expect("trial.json");
            serde_json::from_slice(&text).expect("JSON")
        })
        .collect()
}

/// The generator's kernel sends each packet when it is due, and not before.
fn assert_sent_at_their_times(run: &std::path::Path) {
    let folder = run.join("trials/1/gen");
    let result = std::fs::read(folder.join("result.json")).expect("a result");
    let result: Value = serde_json::from_slice(&result).expect("JSON");
    let sender = result["sent"]["sender"].as_str().expect("a sender");
    assert!(sender.starts_with("txtime"), "{sender}");
    assert_eq!(result["sent"]["late"], 0, "{}", result["sent"]);
    let mut reader = Reader::open(&folder.join("tx.pcap.zst")).expect("a capture");
    let mut packets = 0;
    while let Some(record) = reader.read().expect("whole") {
        let Parsed::Test(stamp) = parse(record.bytes) else {
            panic!("{:?}", parse(record.bytes))
        };
        assert!(record.ts_ns >= stamp.sent_near(record.ts_ns), "{stamp:?}");
        packets += 1;
    }
    assert_eq!(result["sent"]["sent"], packets);
}

#[test]
fn a_sealed_run_is_complete_proved_and_exact() {
    needs!(Need::Lab);
    let lab = Lab::new("sealed");
    let scenario = lab.write("small.yaml", SMALL);
    // --twice: each trial runs again from its armed state, and every byte of its results must be the same.
    let answer = lab.json(
        0,
        &[
            "run",
            scenario.to_str().expect("UTF-8"),
            "--twice",
            "--keep-lab",
        ],
    );
    assert_eq!(answer["summary"]["verdict"], "PASS", "{answer}");

    let trials = trials(&lab);
    assert_eq!(trials.len(), 2);
    let build_id = |trial: &Value, module: &str| {
        let proofs = trial["modules"].as_array().expect("proofs");
        let of: Vec<_> = proofs
            .iter()
            .filter(|p| p["module"] == module && p["host"] != "gen")
            .collect();
        assert!(!of.is_empty(), "{trial}");
        of[0]["build_id"].as_str().expect("a build-id").to_owned()
    };
    let variant = |name: &str| {
        trials
            .iter()
            .find(|t| t["plan"]["variant"]["name"] == name)
            .expect("the variant ran")
    };
    let (stock, shadow) = (variant("stock"), variant("shadow"));
    for module in ["xen_netback", "xen_netfront"] {
        assert_ne!(
            build_id(stock, module),
            build_id(shadow, module),
            "two module pairs"
        );
    }
    for trial in &trials {
        assert_eq!(trial["outcome"]["outcome"], "complete");
        let clocks = trial["clocks"].as_array().expect("clocks");
        assert_eq!(clocks.len(), 4, "gen, dom0, u1, u2");
        for clock in clocks {
            assert!(
                clock["bound_ns"].is_number(),
                "every clock has a bound: {clock}"
            );
        }
    }

    assert_sent_at_their_times(&lab.run());

    // What is known is looked up, also under another name of the variant and in another order.
    let again = lab.write("again.yaml", &SMALL.replace("name: stock", "name: plain"));
    let args = ["run", again.to_str().expect("UTF-8"), "--out", "looked-up"];
    lab.expect(0, &args);
    let found = std::fs::read_dir(lab.path("looked-up"))
        .expect("the folder is read")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.join("events.jsonl").exists())
        .expect("a run");
    assert_eq!(events(&found, "looked-up"), 2);
    for trial in 1..=2 {
        let path = format!("trials/{trial}/gen/result.json");
        let same = |run: &std::path::Path| std::fs::read(run.join(&path)).expect("a result");
        assert_eq!(same(&lab.run()), same(&found));
    }

    // What the run changed is gone: the lab that stays is as it was booted.
    let status = lab.json(0, &["lab", "status"]);
    assert_eq!(status["machine"], "paused");
    assert!(
        !lab.ssh("dom0", "test -e /tmp/vifbench-lab")
            .status
            .success(),
        "the probe is gone"
    );

    // Another lab, from the same saved state, gives the same bytes; if not, this says where they differ. The first stays
    // up and idle: on two processors both labs must leave time to log in.
    let other = Lab::new("sealed-again");
    let scenario = other.write("small.yaml", SMALL);
    other.expect(
        0,
        &[
            "run",
            "--force",
            "--keep-lab",
            scenario.to_str().expect("UTF-8"),
        ],
    );

    // So it does where every instruction is counted: the run fails unless the results are those that are stored.
    let scenario = other.write("counted.yaml", &stock_only(SMALL));
    let scenario = scenario.to_str().expect("UTF-8");
    other.expect(0, &["run", "--instructions", "--out", "counted", scenario]);
    let run = std::fs::read_dir(other.path("counted"))
        .expect("the folder is read")
        .map(|entry| entry.expect("an entry").path())
        .find(|run| run.join("trials/1/instructions.json").exists())
        .expect("a counted trial");
    // A run that is resumed counts as it did.
    std::fs::remove_dir_all(run.join("trials/1")).expect("removed");
    other.expect(0, &["resume", run.to_str().expect("UTF-8")]);
    other.expect(0, &["lab", "down"]);
    let text = std::fs::read(run.join("trials/1/instructions.json")).expect("counts");
    let counted: Value = serde_json::from_slice(&text).expect("JSON");
    let functions = counted["functions"].as_array().expect("functions");
    for (domain, module) in [
        ("dom0", "xen_netback"),
        ("dom0", "bridge"),
        ("gen", "xen_netfront"),
        ("u1", "xen_netfront"),
        ("u1", "vmlinux"),
        ("xen", "xen"),
        ("dom0", "agent"),
    ] {
        let spent = functions
            .iter()
            .filter(|function| function["domain"] == domain && function["module"] == module)
            .map(|function| function["instructions"].as_u64().expect("a count"));
        assert!(spent.sum::<u64>() > 1000, "{domain} {module}");
    }

    // The report is rebuilt byte for byte.
    let run = lab.run();
    let before = tree(&run.join("report"));
    assert!(before.iter().any(|(path, _)| path.ends_with("index.html")));
    for figure in ["svg", "png"] {
        assert!(
            before
                .iter()
                .any(|(path, _)| path.extension().is_some_and(|e| e == figure))
        );
    }
    lab.expect(0, &["report", run.to_str().expect("UTF-8")]);
    assert!(
        before == tree(&run.join("report")),
        "the report came out different"
    );
}

#[test]
fn an_open_run_goes_through_tap_nic_and_bridge() {
    needs!(Need::Lab);
    let lab = Lab::new("open");
    let scenario = lab.write("open.yaml", &open_path());
    // The lab's own file, as if it were a lab of real machines: swap, undo and all over SSH.
    let up = lab.json(0, &["lab", "up"]);
    let stock = lab.netback();
    let file = up["lab_file"].as_str().expect("a lab file");
    let answer = lab.json(
        0,
        &["run", scenario.to_str().expect("UTF-8"), "--lab", file],
    );
    let text = answer.to_string();
    assert!(
        text.contains("open trials of a virtual lab: times mean nothing"),
        "{text}"
    );
    for trial in trials(&lab) {
        assert_eq!(trial["outcome"]["outcome"], "complete", "{trial}");
    }
    assert!(lab.netback() == stock, "the packaged netback is back");
    let left = lab.ssh("dom0", "ls -d /tmp/vifbench-*; true");
    assert_eq!(
        String::from_utf8_lossy(&left.stdout),
        "",
        "nothing is left on dom0"
    );
}
