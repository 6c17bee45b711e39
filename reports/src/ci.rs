//! A run's verdict for other programs: `JUnit` XML for test dashboards, Markdown for a pull request or a mail.

use std::fmt::Write as _;
use std::time::Duration;

use quick_junit::{
    NonSuccessKind, Property, Report, SerializeError, TestCase, TestCaseStatus, TestSuite,
};

use vifbench_store::Outcome;

use crate::compare::{Comparison, Finding, Meaning};
use crate::search_results::VariantSearch;
use crate::summary::RunSummary;
use crate::trial_summary::TrialState;
use crate::verdict::Verdict;

/// `JUnit` XML: a test case for every trial and for every judged comparison, and one for the verdict.
///
/// A regression that the verdict lets pass (acknowledged) and what is undecided are `skipped`, never `failure`; what the
/// lab did is `error`.
///
/// # Errors
/// The XML cannot be made.
pub fn junit(summary: &RunSummary) -> Result<String, SerializeError> {
    let judgement = &summary.judgement;
    let mut suite = TestSuite::new(plain_line(&format!("vifbench {}", summary.scenario)));
    // Without it where a run is damaged: a dashboard then takes the time of the upload.
    suite.timestamp = summary.started.parse().ok();
    for (name, value) in [
        ("run", summary.run.as_str()),
        ("lab", &summary.lab),
        ("vifbench", &summary.vifbench),
        ("marks", &summary.marks.join("; ")),
    ] {
        suite.add_property(Property::new(name, plain_line(value)));
    }
    let status = match judgement.verdict {
        Verdict::Pass | Verdict::Improvement => TestCaseStatus::success(),
        Verdict::Regression => not_good(NonSuccessKind::Failure, "REGRESSION", &judgement.reason),
        Verdict::Inconclusive => skipped(&judgement.reason),
        other => not_good(NonSuccessKind::Error, &other.to_string(), &judgement.reason),
    };
    suite.add_test_case(case("verdict", &summary.scenario, status));
    for (index, c) in summary.comparisons.iter().enumerate() {
        if !c.judged {
            continue;
        }
        let status = match (c.meaning, c.finding) {
            (Meaning::Worse, _) if judgement.acknowledges(index) => skipped(&c.sentence),
            (Meaning::Worse, _) => not_good(NonSuccessKind::Failure, "REGRESSION", &c.sentence),
            (_, Finding::CannotTell) => skipped(&c.sentence),
            _ => TestCaseStatus::success(),
        };
        suite.add_test_case(case(&format!("compare.{}", c.metric), &c.place(), status));
    }
    for trial in &summary.trials {
        let status = match &trial.state {
            TrialState::Done(Outcome::Complete) => TestCaseStatus::success(),
            TrialState::NotRun => skipped("the trial was not run"),
            state => not_good(
                NonSuccessKind::Error,
                state.word(),
                state.reason().unwrap_or_default(),
            ),
        };
        let name = format!("{}: {}", trial.number, trial.label());
        let mut case = case("trial", &name, status);
        if let Some(time) = trial
            .wall_s
            .and_then(|s| Duration::try_from_secs_f64(s).ok())
        {
            case.set_time(time);
        }
        suite.add_test_case(case);
    }
    let mut report = Report::new("vifbench");
    report.add_test_suite(suite);
    report.to_string()
}

fn case(class: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(plain_line(name), status);
    case.set_classname(plain_line(class));
    case
}

fn not_good(kind: NonSuccessKind, type_: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(type_).set_message(plain_line(message));
    status
}

/// The schema of `JUnit` gives `skipped` no type.
fn skipped(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(plain_line(message));
    status
}

/// Names and reasons may come from hosts. An attribute holds no line breaks (a reader makes spaces of them), and XML 1.0 no
/// U+FFFE and U+FFFF.
fn plain_line(text: &str) -> String {
    let odd = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if odd(c) { ' ' } else { c }).collect()
}

/// GitHub-flavoured Markdown: the verdict, why, and a table of what was judged.
pub fn markdown(summary: &RunSummary) -> String {
    let judgement = &summary.judgement;
    let sign = match judgement.verdict {
        Verdict::Pass => "✅",
        Verdict::Improvement => "🎉",
        Verdict::Regression => "❌",
        Verdict::Inconclusive => "❔",
        Verdict::Infra | Verdict::Setup | Verdict::DutCrash => "⚠️",
    };
    let mut out = format!(
        "### {sign} {}: {} on {}\n\n{}\n",
        judgement.verdict,
        plain(&summary.scenario),
        plain(&summary.lab),
        plain(&judgement.reason)
    );
    for mark in &summary.marks {
        // Writing to a String cannot fail.
        let _ = write!(out, "\n> {}\n", plain(mark));
    }
    for line in summary.search.iter().flat_map(VariantSearch::in_words) {
        let _ = write!(out, "\n- {}\n", plain(&line));
    }
    let judged: Vec<&Comparison> = summary.comparisons.iter().filter(|c| c.judged).collect();
    if !judged.is_empty() {
        out.push_str(
            "\n| | variant | number | difference | 95 % interval | p | counts above |\n\
             |---|---|---|---:|---:|---:|---:|\n",
        );
        for c in judged {
            let sign = match (c.meaning, c.finding) {
                (Meaning::Worse, _) => "❌",
                (Meaning::Better, _) => "🎉",
                (_, Finding::CannotTell) => "❔",
                _ => "=",
            };
            let percent = c.percent.map_or_else(String::new, |p| {
                format!(" ({})", crate::text::signed_percent(p))
            });
            let interval = c.interval.map_or_else(
                || "–".to_owned(),
                |i| {
                    format!(
                        "{} … {}",
                        c.unit.difference(i.low),
                        c.unit.difference(i.high)
                    )
                },
            );
            let p =
                c.p.map_or_else(|| "–".to_owned(), crate::text::three_digits);
            let _ = writeln!(
                out,
                "| {sign} | {} | {} | {}{percent} | {interval} | {p} | {} |",
                plain(&c.place()),
                plain(&c.name),
                c.unit.difference(c.mean),
                c.unit.value(c.threshold.size),
            );
        }
    }
    if judgement.findings.len() > 1 {
        out.push_str("\n<details><summary>All findings</summary>\n\n");
        for finding in &judgement.findings {
            let _ = writeln!(out, "- {}", plain(finding));
        }
        out.push_str("\n</details>\n");
    }
    let _ = write!(
        out,
        "\n<sub>run {}, started {}, vifbench {}</sub>\n",
        plain(&summary.run),
        plain(&summary.started),
        plain(&summary.vifbench)
    );
    out
}

/// Text that means nothing to Markdown: names and reasons may come from hosts.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '@' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_host_breaks_out() {
        let hostile = "a<b>&\"c\"\n\u{0}\u{1b}[31m]]>\u{fffe}";
        let mut suite = TestSuite::new("s");
        suite.add_test_case(case(
            hostile,
            hostile,
            not_good(NonSuccessKind::Error, "INFRA", hostile),
        ));
        let mut report = Report::new("r");
        report.add_test_suite(suite);
        let xml = report.to_string().expect("XML");
        assert!(!xml.contains(['\u{0}', '\u{1b}', '\u{fffe}']), "{xml}");
        assert!(xml.contains("a&lt;b&gt;&amp;&quot;c&quot;"), "{xml}");
        assert!(xml.contains("tests=\"1\""), "{xml}");
        assert!(xml.contains("errors=\"1\""), "{xml}");
        assert_eq!(
            plain("a|b`c`\n<i>"),
            "a\\|b\\`c\\`  ".to_owned().trim_end().to_owned() + " &lt;i&gt;"
        );
    }
}
