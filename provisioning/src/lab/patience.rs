//! How long the virtual lab may take by the clock on the wall.
//!
//! Deadlines of steps in a machine count virtual time, which stands still when QEMU does. So every wait for a machine also
//! looks at the wall clock: after a minute without an answer it says what is waited for, and after ten it gives up.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::files;

/// A machine that gives no sign for so long is stuck, unless `$VIFBENCH_PATIENCE` says otherwise, in seconds. An emulated
/// step takes a minute or two on a busy machine.
const STUCK: Duration = Duration::from_secs(600);

/// A wait says so after this, and again whenever it has passed.
const SILENCE: Duration = Duration::from_secs(60);

/// The part of the last time in what a step usually takes.
const NEWEST: f64 = 0.3;

type Notes = Box<dyn Fn(&str) + Send + Sync>;

/// Where notes go; to the log before [`tell_waits`] was called.
static NOTES: OnceLock<Notes> = OnceLock::new();

thread_local! {
    /// The step that this thread is in, with its beginning.
    static STEP: RefCell<Option<(String, Instant)>> = const { RefCell::new(None) };
}

/// Long waits are told by this function from now on. The first call counts.
pub fn tell_waits(note: impl Fn(&str) + Send + Sync + 'static) {
    // Whoever came first is as good.
    let _first: Result<(), _> = NOTES.set(Box::new(note));
}

fn tell(line: &str) {
    if let Some(note) = NOTES.get() {
        note(line);
    } else {
        tracing::warn!("{line}");
    }
}

/// What this thread does until the value is dropped. Waits in between name it.
#[derive(Debug)]
#[must_use = "the step ends when this is dropped"]
pub struct Step {
    outer: Option<(String, Instant)>,
}

/// Begins a step, as `sending the probe`. Its name is also the one under which its time is remembered.
pub fn step(name: &str) -> Step {
    let now = (name.to_owned(), Instant::now());
    Step {
        outer: STEP.with_borrow_mut(|step| step.replace(now)),
    }
}

impl Step {
    /// The step ends well, and its time is remembered for the next wait.
    pub fn done(self) {
        let this = STEP.with_borrow(Clone::clone);
        if let Some((name, began)) = this {
            learn(&name, began.elapsed());
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let outer = self.outer.take();
        STEP.with_borrow_mut(|step| *step = outer);
    }
}

/// A machine that gives no sign is stuck after this.
pub fn stuck_after() -> Duration {
    static SET: OnceLock<Duration> = OnceLock::new();
    *SET.get_or_init(|| {
        let Ok(text) = std::env::var("VIFBENCH_PATIENCE") else {
            return STUCK;
        };
        if let Ok(seconds) = text.parse() {
            return Duration::from_secs(seconds);
        }
        tracing::warn!(
            "VIFBENCH_PATIENCE is `{text}`, which is no number of seconds; it counts as {}",
            STUCK.as_secs()
        );
        STUCK
    })
}

/// One wait for a sign of a machine.
#[derive(Debug)]
pub struct Patience {
    began: Instant,
    limit: Duration,
    silence: Duration,
    told: u32,
}

impl Patience {
    /// Begins now, for a machine that is stuck after `limit`.
    pub fn new(limit: Duration) -> Self {
        Self {
            began: Instant::now(),
            limit,
            silence: SILENCE,
            told: 0,
        }
    }

    /// Says that the wait goes on when a minute has passed, and returns whether there is patience left. `doing` is what is
    /// waited for where the thread is in no step.
    pub fn look(&mut self, doing: &str) -> bool {
        let waited = self.began.elapsed();
        if waited >= self.silence * (self.told + 1) {
            self.told = u32::try_from(waited.as_nanos() / self.silence.as_nanos().max(1))
                .unwrap_or(u32::MAX - 1);
            let (step, waited) = STEP.with_borrow(|step| match step {
                Some((name, began)) => (name.clone(), began.elapsed()),
                None => (doing.to_owned(), waited),
            });
            tell(&line(&step, waited, usual(&step)));
        }
        waited < self.limit
    }

    /// How long it has lasted.
    pub fn waited(&self) -> Duration {
        self.began.elapsed()
    }
}

fn line(step: &str, waited: Duration, usual: Option<Duration>) -> String {
    let usual = usual.map_or_else(String::new, |usual| {
        format!(" (usually {} s)", usual.as_secs_f64().ceil())
    });
    format!("still waiting: {step}, {} s{usual}", waited.as_secs())
}

fn file() -> std::path::PathBuf {
    files::cache_root().join("usual-times.json")
}

/// What a file of another version holds is as good as nothing: these times only make messages better.
fn times() -> BTreeMap<String, f64> {
    files::read(&file())
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

fn usual(step: &str) -> Option<Duration> {
    let seconds = *times().get(step)?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn learn(step: &str, took: Duration) {
    let mut times = times();
    let newest = took.as_secs_f64();
    let mean = times
        .get(step)
        .map_or(newest, |old| old.mul_add(1.0 - NEWEST, newest * NEWEST));
    times.insert(step.to_owned(), mean);
    let path = file();
    let text = serde_json::to_string_pretty(&times).unwrap_or_default();
    let written = files::create_dir(&files::cache_root()).and_then(|()| files::write(&path, &text));
    if let Err(error) = written {
        tracing::debug!(%error, "the time of a step is not remembered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_says_so_now_and_then_and_ends() {
        let mut patience = Patience {
            silence: Duration::from_millis(20),
            ..Patience::new(Duration::from_millis(200))
        };
        assert!(
            patience.look("x") && patience.told == 0,
            "it has just begun"
        );
        let mut tellings = 0;
        loop {
            let before = patience.told;
            let more = patience.look("x");
            tellings += u32::from(patience.told > before);
            if !more {
                break;
            }
            std::thread::yield_now();
        }
        assert!((1..=10).contains(&tellings), "{tellings}");
        assert!(patience.waited() >= Duration::from_millis(200));
    }

    #[test]
    fn a_line_has_what_is_known() {
        let seconds = Duration::from_secs;
        assert_eq!(
            line("sending the probe", seconds(60), Some(seconds(40))),
            "still waiting: sending the probe, 60 s (usually 40 s)"
        );
        assert_eq!(
            line("the boot", seconds(61), None),
            "still waiting: the boot, 61 s"
        );
    }

    #[test]
    fn steps_lie_in_each_other() {
        let name = || STEP.with_borrow(|step| step.as_ref().map(|(name, _)| name.clone()));
        let outer = step("outer");
        let inner = step("inner");
        assert_eq!(name().as_deref(), Some("inner"));
        drop(inner);
        assert_eq!(name().as_deref(), Some("outer"));
        drop(outer);
        assert_eq!(name(), None);
    }
}
