//! The same work on many hosts at once, one thread each, with an end for all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use vifbench_scenarios::lab::HostName;
use vifbench_wait::Limit;

use crate::host::{Host, HostError};

/// What became of the work on one host.
#[derive(Debug)]
pub struct Outcome<H, T> {
    /// Which host.
    pub name: HostName,
    /// The host, to go on with; none where its thread did not come back and was left behind.
    pub host: Option<H>,
    /// What the work returned, or why it did not.
    pub result: Result<T, HostError>,
}

/// Does `work` on each host, all at once, and waits no longer than `deadline`. The outcomes come in the order of
/// the hosts. A host that does not come back holds up nobody.
pub fn on_each<H, T, F>(
    hosts: Vec<H>,
    doing: &str,
    deadline: Duration,
    work: F,
) -> Vec<Outcome<H, T>>
where
    H: Host + 'static,
    T: Send + 'static,
    F: Fn(&mut H) -> T + Send + Sync + 'static,
{
    let limit = Limit::new(deadline, None);
    let work = Arc::new(work);
    let (back, inbox) = mpsc::channel();
    let mut names = Vec::with_capacity(hosts.len());
    let mut outcomes: BTreeMap<usize, Outcome<H, T>> = BTreeMap::new();
    for (index, mut host) in hosts.into_iter().enumerate() {
        let name = host.name().clone();
        names.push(name.clone());
        let (work, back) = (Arc::clone(&work), back.clone());
        let thread = std::thread::Builder::new()
            .name(format!("{doing} on {name}"))
            .spawn(move || {
                let value = work(&mut host);
                // The caller may have given this host up.
                if back.send((index, host, value)).is_err() {
                    tracing::debug!("finished after the deadline");
                }
            });
        if let Err(source) = thread {
            let result = Err(HostError::Local {
                host: name.clone(),
                doing: format!("start a thread to {doing}"),
                source,
            });
            outcomes.insert(
                index,
                Outcome {
                    name,
                    host: None,
                    result,
                },
            );
        }
    }
    drop(back);
    // Ends early when every thread has answered or died.
    while let Ok((index, host, value)) = inbox.recv_timeout(limit.left()) {
        let name = names[index].clone();
        outcomes.insert(
            index,
            Outcome {
                name,
                host: Some(host),
                result: Ok(value),
            },
        );
    }
    let late = limit.left().is_zero();
    for (index, name) in names.into_iter().enumerate() {
        outcomes.entry(index).or_insert_with(|| {
            let (host, doing) = (name.clone(), doing.to_owned());
            let result = Err(if late {
                HostError::Deadline {
                    host,
                    doing,
                    deadline,
                }
            } else {
                HostError::Lost {
                    host,
                    doing,
                    why: "its worker thread died".to_owned(),
                }
            });
            Outcome {
                name,
                host: None,
                result,
            }
        });
    }
    outcomes.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostExt as _;
    use crate::local::LocalHost;
    use std::time::Instant;

    fn hosts(names: &[&str]) -> Vec<LocalHost> {
        names
            .iter()
            .map(|n| LocalHost::new(HostName((*n).to_owned())))
            .collect()
    }

    #[test]
    fn one_that_hangs_or_dies_does_not_hold_up_the_rest() {
        let started = Instant::now();
        let outcomes = on_each(
            hosts(&["quick", "hangs", "dies", "quick too"]),
            "test",
            Duration::from_secs(2),
            |host| match host.name().0.as_str() {
                "hangs" => {
                    std::thread::park_timeout(Duration::from_secs(60));
                    None
                }
                "dies" => panic!("on purpose"),
                name => {
                    let command = format!("echo '{name}'");
                    host.check(&command, Duration::from_secs(2))
                        .ok()
                        .map(|o| o.text())
                }
            },
        );
        assert!(started.elapsed() < Duration::from_secs(10));
        let names: Vec<&str> = outcomes.iter().map(|o| o.name.0.as_str()).collect();
        assert_eq!(names, ["quick", "hangs", "dies", "quick too"]);
        for good in [0, 3] {
            assert_eq!(
                outcomes[good].result.as_ref().ok(),
                Some(&Some(outcomes[good].name.0.clone()))
            );
            assert!(outcomes[good].host.is_some());
        }
        assert!(matches!(
            outcomes[1].result,
            Err(HostError::Deadline { .. })
        ));
        assert!(outcomes[2].result.is_err());
    }

    #[test]
    fn it_does_not_wait_for_the_deadline_in_vain() {
        let started = Instant::now();
        let outcomes = on_each(hosts(&["a", "b"]), "test", Duration::from_secs(60), |_| 7);
        assert!(outcomes.iter().all(|o| matches!(o.result, Ok(7))));
        assert!(on_each(hosts(&[]), "test", Duration::from_secs(60), |_| ()).is_empty());
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
