//! Flows that wait for answers, on a real wire: two namespaces joined by a veth pair. Needs root.

#[allow(dead_code)] // each file of tests uses its part
mod common;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{
    ADDRESS, ADDRESS6, JoinedNamespaces, Pipes, RX, TX, capture, cbr, flow, generate, plan,
};
use vifbench_probes::client::ProbeClient;
use vifbench_probes::clock::reading::realtime_ns;
use vifbench_scenarios::scenario::Arrivals;
use vifbench_scenarios::units::{Size, Span};
use vifbench_testing::{Need, needs};
use vifbench_wire::packet::{UDP_PORT, source_port, tcp_port};
use vifbench_wire::protocol::{
    Answer, Arm, FlowSpec, LoopDone, Point, ProbeResult, RespondSpec, State,
};

const MS: u64 = 1_000_000;

fn arm(start_ns: u64, run_ms: u64) -> Arm {
    let stop_ns = start_ns + run_ms * MS;
    Arm {
        trial: 1,
        start_ns,
        stop_ns,
        drain_ns: stop_ns + 200 * MS,
        sealed_by: None,
        announce: None,
    }
}

fn result(probe: &mut ProbeClient<Pipes>, folder: &Path) -> ProbeResult {
    let deadline = Instant::now() + Duration::from_secs(60);
    while probe.status(1).unwrap() != State::Done {
        assert!(Instant::now() < deadline, "the trial does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    let text = std::fs::read(folder.join("trial-1/result.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn respond(flow: &FlowSpec, answer: Answer) -> RespondSpec {
    let port = match answer {
        Answer::UdpEcho | Answer::UdpSink => UDP_PORT,
        Answer::TcpRr { .. } | Answer::TcpSink => tcp_port(flow.flow),
    };
    RespondSpec {
        flow: flow.flow,
        answer,
        local: SocketAddr::new(flow.destination, port),
        peer: SocketAddr::new(flow.source, source_port(flow.flow)),
        max_segment: flow.arrivals.is_tcp().then(|| flow.max_segment()).flatten(),
    }
}

fn tcp_rr(request: u64, response: u64, outstanding: u32) -> Arrivals {
    Arrivals::TcpRr {
        request: Size::from_bytes(request),
        response: Size::from_bytes(response),
        outstanding,
    }
}

/// A trial of 500 ms with a warm-up of 100 ms: what the generator and the guest have to say.
fn run(flows: Vec<FlowSpec>, respond: Vec<RespondSpec>) -> (ProbeResult, ProbeResult) {
    let temp = tempfile::tempdir().unwrap();
    let joined = JoinedNamespaces::new();
    let (mut tx, mut rx) = (joined.probe(TX, temp.path()), joined.probe(RX, temp.path()));
    let (tx_folder, rx_folder) = (tx.hello().unwrap(), rx.hello().unwrap());
    let mut sending = generate(flows);
    sending.warmup_ns = 100 * MS;
    let mut answering = plan(vec![capture(Point::Rx, RX)], None);
    answering.respond = respond;
    rx.prepare(answering).unwrap();
    tx.prepare(plan(vec![capture(Point::Tx, TX)], Some(sending)))
        .unwrap();
    // Time enough for both to be armed and connected on a machine that is busy with other work.
    let arm = arm(realtime_ns() + 3000 * MS, 500);
    tx.arm(arm.clone()).unwrap();
    rx.arm(arm).unwrap();
    let sent = result(&mut tx, &tx_folder);
    let answered = result(&mut rx, &rx_folder);
    // Nothing of a trial stays open.
    for side in [TX, RX] {
        let open = joined
            .command(side, "ss")
            .args(["-Htuan"])
            .stdout(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&open.stdout), "");
    }
    (sent, answered)
}

fn check(done: &LoopDone) {
    assert_eq!(
        (done.unanswered, done.unexpected, done.corrupt),
        (0, 0, 0),
        "{done:?}"
    );
    assert!(done.measured_ns <= 400 * MS && done.measured_ns > 390 * MS);
}

/// Little's law: the round trips of what ended in a window are no longer than so many requests at once can be, those
/// begun before it included.
fn no_more_than(outstanding: u32, done: &LoopDone) {
    let trips = done.round_trip.unwrap();
    assert_eq!(trips.count, done.transactions);
    let longest = (done.measured_ns + trips.max) * u64::from(outstanding);
    // The mean is rounded.
    assert!(
        trips.mean * trips.count <= longest + trips.count,
        "{done:?}"
    );
}

#[test]
fn udp_requests_are_answered_beside_other_flows() {
    needs!(Need::Root, Need::Program("ip"));
    for v6 in [false, true] {
        let asking = flow(
            3,
            v6,
            100,
            Arrivals::ClosedLoop {
                round_trip: Span::from_millis(1),
                outstanding: 4,
                samples: None,
            },
        );
        let counted = flow(
            4,
            v6,
            100,
            Arrivals::ClosedLoop {
                round_trip: Span::from_millis(1),
                outstanding: 8,
                samples: Some(50),
            },
        );
        let other = flow(5, v6, 100, cbr(200));
        let answers = vec![
            respond(&asking, Answer::UdpEcho),
            respond(&counted, Answer::UdpEcho),
        ];
        let (sent, answered) = run(vec![asking, counted, other], answers);
        assert_eq!((&sent.failed, &answered.failed), (&None, &None));
        let counts = sent.sent.unwrap();
        let [first, second] = &counts.loops[..] else {
            panic!("{counts:?}")
        };
        check(first);
        assert_eq!(counts.flows[1].1, 50);
        assert_eq!((second.flow, second.unanswered), (4, 0));
        // Its time ends with the last answer.
        assert!(second.measured_ns < first.measured_ns, "{counts:?}");
        assert_eq!(counts.flows[2], (5, 100));
        assert_eq!(counts.sent, counts.due);
        // Every request that the wire saw was answered.
        assert_eq!(answered.responded[0].requests, counts.flows[0].1);
        assert_eq!(answered.responded[1].requests, 50);
        assert_eq!(answered.captures[0].written, counts.sent);
        assert_eq!(sent.captures[0].written, counts.sent);
        no_more_than(4, first);
    }
}

#[test]
fn a_guest_that_does_not_answer_costs_a_second_a_request() {
    needs!(Need::Root, Need::Program("ip"));
    let asking = flow(
        3,
        false,
        100,
        Arrivals::ClosedLoop {
            round_trip: Span::from_millis(1),
            outstanding: 2,
            samples: None,
        },
    );
    let (sent, answered) = run(vec![asking], vec![]);
    assert_eq!((sent.failed, answered.failed), (None, None));
    let counts = sent.sent.unwrap();
    assert_eq!((counts.sent, counts.loops[0].unanswered), (2, 2));
    assert_eq!(counts.loops[0].transactions, 0);
}

#[test]
fn tcp_requests_have_their_responses() {
    needs!(Need::Root, Need::Program("ip"));
    for (v6, request, response, outstanding) in [
        (false, 1, 1, 1),
        (true, 200, 3000, 8),
        (false, 70_000, 5, 3),
    ] {
        let asking = flow(2, v6, 1000, tcp_rr(request, response, outstanding));
        let answer = Answer::TcpRr {
            request: request as u32,
            response: response as u32,
        };
        let respond = respond(&asking, answer);
        let (sent, answered) = run(vec![asking], vec![respond]);
        assert_eq!((&sent.failed, &answered.failed), (&None, &None));
        let counts = sent.sent.unwrap();
        let done = &counts.loops[0];
        // Those under way when the trial ends are not waited for.
        assert_eq!(done.unanswered, u64::from(outstanding));
        assert_eq!((done.corrupt, answered.responded[0].corrupt), (0, 0));
        assert!(done.transactions > 10, "{done:?}");
        let whole = counts.sent - u64::from(outstanding);
        assert!((whole..=counts.sent).contains(&answered.responded[0].requests));
        no_more_than(outstanding, done);
        let tcp = done.tcp.as_ref().unwrap();
        let headers = if v6 { 78 } else { 58 };
        // Without the 12 bytes of the time-stamp option, where that is on.
        assert!(
            [1000 - headers, 988 - headers].contains(&tcp.segment),
            "{tcp:?}"
        );
    }
}

#[test]
fn tcp_bulk_arrives_whole() {
    needs!(Need::Root, Need::Program("ip"));
    for v6 in [false, true] {
        let bulk = flow(7, v6, 1518, Arrivals::TcpBulk {});
        let respond = respond(&bulk, Answer::TcpSink);
        let (sent, answered) = run(vec![bulk, flow(8, v6, 100, cbr(500))], vec![respond]);
        assert_eq!((&sent.failed, &answered.failed), (&None, &None));
        let counts = sent.sent.unwrap();
        let tcp = counts.loops[0].tcp.clone().unwrap();
        let got = &answered.responded[0];
        assert_eq!((got.corrupt, got.foreign), (0, 0));
        assert!(tcp.bytes_acked > 1_000_000, "{tcp:?}");
        // What was acknowledged in the measured part had come by the end.
        assert!(got.bytes >= tcp.bytes_acked, "{got:?} {tcp:?}");
        assert_eq!(counts.flows[1], (8, 250));
    }
}

#[test]
fn a_guest_without_a_responder_fails_the_trial() {
    needs!(Need::Root, Need::Program("ip"));
    let bulk = flow(7, false, 1518, Arrivals::TcpBulk {});
    let (sent, answered) = run(vec![bulk], vec![]);
    let why = sent.failed.unwrap();
    assert!(
        why.contains("flow 7 to 198.18.7.2:8199: cannot connect"),
        "{why}"
    );
    assert_eq!(answered.failed, None);
}

#[test]
fn strangers_are_turned_away() {
    needs!(Need::Root, Need::Program("ip"));
    let bulk = flow(7, false, 1518, Arrivals::TcpBulk {});
    let mut respond = respond(&bulk, Answer::TcpSink);
    respond.peer.set_port(9);
    let (sent, answered) = run(vec![bulk], vec![respond]);
    let why = sent.failed.unwrap();
    assert!(why.contains("closed the connection"), "{why}");
    assert_eq!(answered.responded[0].foreign, 1);
    assert_eq!(answered.responded[0].bytes, 0);
}

#[test]
fn an_address_that_is_not_the_guests_is_refused() {
    needs!(Need::Root, Need::Program("ip"));
    let temp = tempfile::tempdir().unwrap();
    let joined = JoinedNamespaces::new();
    let mut rx = joined.probe(RX, temp.path());
    rx.hello().unwrap();
    let bulk = flow(7, false, 1518, Arrivals::TcpBulk {});
    let mut wrong = plan(vec![], None);
    wrong.respond = vec![RespondSpec {
        local: SocketAddr::new(ADDRESS[TX].parse().unwrap(), 8192),
        ..respond(&bulk, Answer::TcpSink)
    }];
    let error = rx.prepare(wrong).unwrap_err().to_string();
    assert!(
        error.contains("cannot answer flow 7 at 198.18.7.1:8192"),
        "{error}"
    );
    assert_ne!(ADDRESS6[TX], ADDRESS6[RX]);
}
