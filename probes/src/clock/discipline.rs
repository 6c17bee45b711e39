//! What keeps this host's clock right: chrony or PTP, as their own tools tell it. Part of the ruler.
//!
//! It is told, not trusted: delays are bounded by exchanges between the hosts, whatever a daemon says of itself. But a
//! clock that is being slewed or has lost its source explains much.

use std::io;
use std::process::Command;

use vifbench_wire::protocol::{Discipline, DisciplineState};

/// Asks every daemon whose tool is installed. A tool that is not there is no daemon; one that is there and cannot tell is
/// told as such.
pub fn read() -> Vec<Discipline> {
    [
        ask("chrony", "chronyc", &["-c", "tracking"], chrony),
        ask("ptp", "pmc", &["-u", "-b", "0", "GET TIME_STATUS_NP"], ptp),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn ask(
    daemon: &str,
    program: &str,
    arguments: &[&str],
    read: fn(&str) -> Option<DisciplineState>,
) -> Option<Discipline> {
    let state = match Command::new(program).args(arguments).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => silent(&error.to_string()),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            read(&text).unwrap_or_else(|| silent(&format!("{text}{said}")))
        }
    };
    Some(Discipline {
        daemon: daemon.to_owned(),
        state,
    })
}

/// A daemon that did not tell, with the first line of what came instead.
fn silent(said: &str) -> DisciplineState {
    let why = said.lines().map(str::trim).find(|line| !line.is_empty());
    DisciplineState::Silent {
        why: why.unwrap_or("it said nothing").to_owned(),
    }
}

/// Seconds as chronyc prints them, in nanoseconds.
fn nanos(seconds: &str) -> Option<i64> {
    let ns = seconds.trim().parse::<f64>().ok()? * 1e9;
    ns.is_finite().then_some(ns.round() as i64)
}

/// The one line of `chronyc -c tracking`: reference id and name, stratum, reference time, offset of the system clock, last
/// and mean offset, frequency, residual frequency, skew, root delay, root dispersion, update interval, leap status.
fn chrony(text: &str) -> Option<DisciplineState> {
    let fields: Vec<&str> = text.lines().next()?.split(',').collect();
    let [id, name, stratum, _, offset, .., delay, dispersion, _, leap] = fields[..] else {
        return None;
    };
    let source = if name.is_empty() { id } else { name };
    let (delay, dispersion) = (nanos(delay)?, nanos(dispersion)?);
    Some(DisciplineState::Followed {
        source: format!("{source}, stratum {}", stratum.parse::<u8>().ok()?),
        offset_ns: nanos(offset)?,
        // RFC 5905, section 11.2: a clock is at most half its root delay and its root dispersion away from the source's.
        bound_ns: Some((delay / 2 + dispersion).unsigned_abs()),
        synchronised: leap.trim() != "Not synchronised",
    })
}

/// What `pmc` prints of `TIME_STATUS_NP`: `master_offset`, `gmPresent`, `gmIdentity` and more, one a line.
fn ptp(text: &str) -> Option<DisciplineState> {
    let of = |key: &str| {
        let mut words = text.lines().map(str::split_whitespace);
        words.find_map(|mut line| (line.next() == Some(key)).then(|| line.next()).flatten())
    };
    Some(DisciplineState::Followed {
        source: format!("grandmaster {}", of("gmIdentity")?),
        offset_ns: of("master_offset")?.parse().ok()?,
        bound_ns: None,
        synchronised: of("gmPresent")? == "true",
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn chrony_is_understood() {
        // As chronyc 4.3 printed it for a local reference, and the same with a server.
        let local = "7F7F0101,,9,1795421494.157217419,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,0.000000000,\
                     0.000000000,0.0,Normal\n";
        assert_eq!(
            chrony(local),
            Some(DisciplineState::Followed {
                source: "7F7F0101, stratum 9".to_owned(),
                offset_ns: 0,
                bound_ns: Some(0),
                synchronised: true,
            })
        );
        let server = "C6120001,198.18.0.1,3,1795421494.1,-0.000012345,0.000001,0.000002,-12.3,0.001,0.05,0.000400000,\
                      0.000030000,64.2,Not synchronised\n";
        assert_eq!(
            chrony(server),
            Some(DisciplineState::Followed {
                source: "198.18.0.1, stratum 3".to_owned(),
                offset_ns: -12_345,
                bound_ns: Some(230_000),
                synchronised: false,
            })
        );
    }

    #[test]
    fn a_daemon_that_does_not_answer_is_told() {
        assert_eq!(chrony("506 Cannot talk to daemon\n"), None);
        assert_eq!(
            silent("\n506 Cannot talk to daemon\n"),
            DisciplineState::Silent {
                why: "506 Cannot talk to daemon".to_owned()
            }
        );
        assert_eq!(ptp("sending: GET TIME_STATUS_NP\n"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC{0,200}|([0-9.,-]{0,20}\n){0,5}") {
            chrony(&text);
            ptp(&text);
        }
    }
}
