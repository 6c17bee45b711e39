//! Progress on stderr: `indicatif` bars with time left on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use vifbench_scenarios::progress::{Progress, Task};

use crate::output::stderr;

/// Bars for a person at a terminal.
pub struct Bars {
    all: MultiProgress,
}

/// Lines for a log.
pub struct Lines;

/// What fits where stderr goes.
pub fn for_stderr() -> Box<dyn Progress> {
    if std::io::stderr().is_terminal() {
        Box::new(Bars {
            all: MultiProgress::new(),
        })
    } else {
        Box::new(Lines)
    }
}

/// The template is a constant, so it parses or the unit test below fails.
fn style(known_length: bool) -> ProgressStyle {
    let template = if known_length {
        "{prefix:<24} {bar:30} {pos}/{len} {elapsed} (left {eta}) {msg}"
    } else {
        "{prefix:<24} {spinner} {elapsed} {msg}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Bars {
    fn start(&self, label: &str, length: Option<u64>) -> Box<dyn Task> {
        let bar = match length {
            Some(length) => ProgressBar::new(length),
            None => ProgressBar::new_spinner(),
        };
        let bar = self.all.add(bar.with_style(style(length.is_some())));
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        Box::new(Bar {
            inner: bar,
            label: label.to_owned(),
            all: self.all.clone(),
        })
    }
    fn note(&self, line: &str) {
        // A terminal that went away is no reason to stop a night's run.
        if let Err(error) = self.all.println(line) {
            tracing::debug!(%error, "cannot print a note");
        }
    }
}

struct Bar {
    inner: ProgressBar,
    label: String,
    all: MultiProgress,
}

impl Task for Bar {
    fn set(&self, done: u64) {
        self.inner.set_position(done);
    }
    fn message(&self, text: &str) {
        self.inner.set_message(text.to_owned());
    }
    fn finish(self: Box<Self>, summary: &str) {
        let seconds = self.inner.elapsed().as_secs_f64();
        self.inner.finish_and_clear();
        if let Err(error) = self
            .all
            .println(format!("{}: {summary} ({seconds:.1} s)", self.label))
        {
            tracing::debug!(%error, "cannot print a summary");
        }
    }
}

impl Progress for Lines {
    fn start(&self, label: &str, _length: Option<u64>) -> Box<dyn Task> {
        writeln!(stderr(), "{label} ...");
        Box::new(Line {
            label: label.to_owned(),
            since: Instant::now(),
        })
    }
    fn note(&self, line: &str) {
        writeln!(stderr(), "{line}");
    }
}

struct Line {
    label: String,
    since: Instant,
}

impl Task for Line {
    fn set(&self, _done: u64) {}
    fn message(&self, text: &str) {
        writeln!(stderr(), "  {}: {text}", self.label);
    }
    fn finish(self: Box<Self>, summary: &str) {
        writeln!(
            stderr(),
            "{}: {summary} ({:.1} s)",
            self.label,
            self.since.elapsed().as_secs_f64()
        );
    }
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressStyle;

    #[test]
    fn templates_parse() {
        for template in [
            "{prefix:<24} {bar:30} {pos}/{len} {elapsed} (left {eta}) {msg}",
            "{prefix:<24} {spinner} {elapsed} {msg}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
