//! Which scenarios a lab can run, and what is said of those that it cannot.

use vifbench_scenarios::lab::{Lab, Sender};
use vifbench_scenarios::library;
use vifbench_scenarios::scenario::{Mode, Scenario};

/// A virtual lab as `vifbench lab up` makes it.
fn lab() -> Lab {
    let host = |name: &str, more: &str, number: u8| {
        format!(
            "  - name: {name}\n    address: 198.18.0.{number}\n    address6: 2001:2::{number}\n    key: key\n    \
             host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHqZJ3bYp0w1Yk1t5o2QyYb9o0mC0Zt7n6J6cQ0bB1aB\n    \
             identity: {{mac: '00:16:3e:00:00:0{number}'}}\n    interface: enX0\n    mac: 00:16:3e:00:00:0{number}\n    {more}\n"
        )
    };
    let text = format!(
        "name: bench\nvirtual: true\nhosts:\n{}{}{}{}controller:\n  interface: xtap0\n  address: 198.18.0.254\n  \
         address6: 2001:2::254\n  mac: 02:00:00:00:00:01\n",
        host("box", "role: dom0", 1),
        host("u1", "role: guest\n    on: box", 2),
        host("u2", "role: guest\n    on: box", 3),
        host("gen", "role: generator\n    on: box", 4),
    );
    Lab::parse(&text, "bench.yaml").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn quickstart() -> Scenario {
    library::find("quickstart")
        .expect("it is in the library")
        .scenario()
        .expect("it is sound")
}

fn problems(scenario: &Scenario, lab: &Lab) -> String {
    match scenario.check(lab) {
        Ok(()) => panic!("this should not fit"),
        Err(problems) => problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

#[test]
fn the_whole_library_runs_on_the_virtual_lab() {
    for entry in library::all() {
        let scenario = entry.scenario().expect("it is sound");
        assert_eq!(scenario.check(&lab()), Ok(()), "{}", entry.name);
    }
}

#[test]
fn the_quickstart_is_quick() {
    let plan = vifbench_scenarios::plan::Plan::new(&quickstart(), 1, None);
    assert!(plan.trials.len() <= 4);
    for trial in &plan.trials {
        let seconds = trial.warmup.secs_f64() + trial.duration.secs_f64();
        let packets: f64 = trial
            .flows
            .iter()
            .map(|flow| {
                flow.arrivals
                    .rate()
                    .map_or(0.0, vifbench_scenarios::units::Rate::per_sec_f64)
                    * seconds
            })
            .sum();
        assert!(packets <= 3000.0, "{packets} packets");
    }
}

#[test]
fn a_guest_that_the_lab_lacks() {
    let mut scenario = quickstart();
    scenario.traffic[0].to.0 = "u11".into();
    scenario.traffic[1].to.0 = "nobody".into();
    insta::assert_snapshot!(problems(&scenario, &lab()), @"
    flow 0 goes to `u11`, which the lab `bench` does not have; did you mean `u1`? Its guests are `u1`, `u2`
    flow 1 goes to `nobody`, which the lab `bench` does not have; its guests are `u1`, `u2`
    ");
}

#[test]
fn a_host_that_is_no_guest() {
    let mut scenario = quickstart();
    scenario.traffic[0].to.0 = "box".into();
    insta::assert_snapshot!(problems(&scenario, &lab()), @"flow 0 goes to `box`, which is no guest of the lab `bench`; its guests are `u1`, `u2`");
}

#[test]
fn a_lab_without_dom0() {
    let mut lab = lab();
    lab.hosts.remove(0);
    insta::assert_snapshot!(problems(&quickstart(), &lab), @"the lab `bench` has no dom0; add a host with `role: dom0` to the lab file");
}

#[test]
fn ipv6_without_addresses() {
    let mut lab = lab();
    for host in &mut lab.hosts {
        host.address6 = None;
    }
    let scenario = library::find("ipv6")
        .expect("it is in the library")
        .scenario()
        .expect("it is sound");
    insta::assert_snapshot!(problems(&scenario, &lab), @"
    flow 0 is UDP over IPv6, but `u1` has no such address; add `address6` to it in the lab file
    flow 0 is UDP over IPv6, but `gen` has no such address; add `address6` to it in the lab file
    ");
}

#[test]
fn sealed_outside_virtual_time() {
    let mut lab = lab();
    lab.is_virtual = false;
    insta::assert_snapshot!(problems(&quickstart(), &lab), @"the scenario is sealed, but the lab `bench` does not run in virtual time; use `mode: open`, or a virtual lab (`vifbench lab up`)");
}

#[test]
fn sealed_without_a_generator_inside() {
    let mut lab = lab();
    lab.hosts.pop();
    insta::assert_snapshot!(problems(&quickstart(), &lab), @"the scenario is sealed, but no generator of the lab `bench` is a domU; add a host with `role: generator` and `on: DOM0`, or use `mode: open`");
}

#[test]
fn open_without_a_generator_outside() {
    let mut lab = lab();
    lab.controller = None;
    let scenario = Scenario {
        mode: Mode::Open,
        ..quickstart()
    };
    insta::assert_snapshot!(problems(&scenario, &lab), @"the scenario is open, but nothing outside the lab `bench` can send; add `controller:` or a host with `role: generator` without `on`");
}

#[test]
fn guests_and_generator_on_several_dom0s() {
    let mut lab = lab();
    let mut second = lab.hosts[0].clone();
    second.name.0 = "box2".into();
    lab.hosts.push(second);
    let elsewhere = Some(lab.hosts[4].name.clone());
    lab.hosts[3].on = elsewhere.clone();
    let generator = problems(&quickstart(), &lab);
    lab.hosts[2].on = elsewhere;
    insta::assert_snapshot!(format!("{generator}\n{}", problems(&quickstart(), &lab)), @"
    the generator `gen` runs on `box2`, not on `box` as the guests do; use a generator on `box`
    the flows go to guests of several dom0s (`box`, `box2`); use guests of one dom0
    ");
}

#[test]
fn who_sends() {
    let mut lab = lab();
    assert_eq!(
        lab.sender(Mode::Sealed)
            .map(|sender| sender.name().to_owned())
            .as_deref(),
        Some("gen")
    );
    assert!(matches!(
        lab.sender(Mode::Open),
        Some(Sender::Controller(_))
    ));
    lab.hosts[3].on = None;
    assert!(matches!(lab.sender(Mode::Open), Some(Sender::Host(host)) if host.name.0 == "gen"));
    assert!(lab.sender(Mode::Sealed).is_none());
}
