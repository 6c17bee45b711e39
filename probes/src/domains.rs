//! CPU time of every Xen domain, sampled during a trial in dom0.

use std::fmt::Display;

use vifbench_libxl::{Domains as _, Toolstack};
use vifbench_wire::protocol::DomainSample;

use crate::clock::reading::realtime_ns;

/// Who can tell the CPU time of domains: the toolstack, or a stand-in for it in tests.
pub trait CpuTimes {
    /// Domain id, name and CPU time in nanoseconds since creation, of every domain.
    ///
    /// # Errors
    /// As the toolstack gives them.
    fn read(&mut self) -> Result<Vec<(u32, String, u64)>, String>;
    /// `libxl 4.17` or `xl (why)`.
    fn describe(&self) -> String;
}

impl CpuTimes for Toolstack {
    fn read(&mut self) -> Result<Vec<(u32, String, u64)>, String> {
        let domains = self.list().map_err(|error| error.to_string())?;
        Ok(domains
            .into_iter()
            .map(|d| (d.domid, d.name, d.cpu_ns))
            .collect())
    }
    fn describe(&self) -> String {
        Self::describe(self)
    }
}

/// Who tells CPU times in no smaller steps than this is a command that is started each time.
const COSTLY_NS: u64 = 10_000_000;

/// Samples of one trial.
pub struct Sampler {
    source: Option<Box<dyn CpuTimes>>,
    every_ns: u64,
    next_ns: u64,
    samples: Vec<DomainSample>,
    /// The first failure; after it no more samples are taken.
    failed: Option<String>,
}

/// What a [`Sampler`] collected.
#[derive(Debug, Default)]
pub struct Sampled {
    /// All samples in order of time.
    pub samples: Vec<DomainSample>,
    /// Who told them.
    pub by: Option<String>,
    /// Why there are no more of them, where there are not.
    pub failed: Option<String>,
}

impl Sampler {
    /// One that never samples.
    pub fn none() -> Self {
        Self {
            source: None,
            every_ns: 0,
            next_ns: u64::MAX,
            samples: Vec::new(),
            failed: None,
        }
    }

    /// One that asks the toolstack of this dom0.
    pub fn of_this_host(every_ns: u64) -> Self {
        match Toolstack::open() {
            Ok(toolstack) => {
                // `xl` takes dom0 longer than many packets do, and tells only tenths of a second: what happens meanwhile
                // is not worth what it costs.
                let costly = toolstack.resolution_ns() > COSTLY_NS;
                Self::with_source(Box::new(toolstack), if costly { 0 } else { every_ns })
            }
            Err(error) => Self {
                failed: Some(why_not(&error)),
                ..Self::none()
            },
        }
    }

    /// One that asks somebody else.
    pub fn with_source(source: Box<dyn CpuTimes>, every_ns: u64) -> Self {
        Self {
            source: Some(source),
            every_ns,
            ..Self::none()
        }
    }

    /// Sets the first of the regular samples; after it they follow `every_ns` apart. With a period of zero there
    /// are none but those asked for by [`Sampler::sample`].
    pub fn begin(&mut self, start_ns: u64) {
        if self.source.is_some() && self.every_ns > 0 {
            self.next_ns = start_ns.saturating_add(self.every_ns);
        }
    }

    /// When the next regular sample is due.
    pub fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Takes the regular sample that is due and sets the next one, leaving out those that have passed.
    pub fn sample_due(&mut self) {
        self.sample();
        let now = realtime_ns();
        if self.next_ns != u64::MAX {
            let passed = now.saturating_sub(self.next_ns) / self.every_ns + 1;
            self.next_ns = self
                .next_ns
                .saturating_add(passed.saturating_mul(self.every_ns));
        }
    }

    /// Takes a sample now.
    pub fn sample(&mut self) {
        let Some(source) = &mut self.source else {
            return;
        };
        let at_ns = realtime_ns();
        match source.read() {
            Ok(domains) => {
                let sampled = domains
                    .into_iter()
                    .map(|(domid, name, cpu_ns)| DomainSample {
                        at_ns,
                        domid,
                        name,
                        cpu_ns,
                    });
                self.samples.extend(sampled);
            }
            Err(error) => {
                self.failed.get_or_insert(why_not(error));
                self.next_ns = u64::MAX;
            }
        }
    }

    /// Ends and hands over.
    pub fn finish(self) -> Sampled {
        Sampled {
            by: self.source.map(|source| source.describe()),
            samples: self.samples,
            failed: self.failed,
        }
    }
}

fn why_not(error: impl Display) -> String {
    format!("the CPU time of domains could not be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(u64);

    impl CpuTimes for Counting {
        fn read(&mut self) -> Result<Vec<(u32, String, u64)>, String> {
            self.0 += 1;
            if self.0 == 4 {
                Err("xenstored is gone".into())
            } else {
                Ok(vec![(0, "Domain-0".into(), self.0)])
            }
        }
        fn describe(&self) -> String {
            "a stand-in".into()
        }
    }

    #[test]
    fn samples_until_it_fails_and_says_why() {
        let start = realtime_ns();
        let mut sampler = Sampler::with_source(Box::new(Counting(0)), 10_000_000_000);
        sampler.sample();
        sampler.begin(start);
        assert_eq!(sampler.next_ns(), start + 10_000_000_000);
        sampler.sample_due();
        assert_eq!(sampler.next_ns(), start + 20_000_000_000);
        sampler.sample();
        sampler.sample_due();
        assert_eq!(sampler.next_ns(), u64::MAX);
        let sampled = sampler.finish();
        assert_eq!(
            sampled.samples.iter().map(|s| s.cpu_ns).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        assert_eq!(sampled.by.as_deref(), Some("a stand-in"));
        assert!(sampled.failed.unwrap().contains("xenstored is gone"));
    }

    #[test]
    fn samples_that_were_missed_are_left_out() {
        let mut sampler = Sampler::with_source(Box::new(Counting(0)), 1000);
        sampler.begin(realtime_ns() - 1_000_000);
        sampler.sample_due();
        assert!(sampler.next_ns() > realtime_ns() - 1000);
    }
}
