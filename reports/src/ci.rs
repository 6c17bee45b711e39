//! A run's verdict for other programs: `JUnit` XML for test dashboards, Markdown for a pull request or a mail.

use std::fmt::Write as _;

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
pub fn junit(summary: &RunSummary) -> String {
    let mut cases = Vec::new();
    let mut case = |class: &str, name: &str, seconds: Option<f64>, inner: String| {
        let time = seconds.map_or_else(String::new, |s| format!(" time=\"{s:.3}\""));
        let head = format!(
            "    <testcase classname=\"{}\" name=\"{}\"{time}",
            escaped(class),
            escaped(name)
        );
        cases.push(if inner.is_empty() {
            format!("{head}/>\n")
        } else {
            format!("{head}>\n      {inner}\n    </testcase>\n")
        });
    };
    let judgement = &summary.judgement;
    let outcome = match judgement.verdict {
        Verdict::Pass | Verdict::Improvement => String::new(),
        Verdict::Regression => element("failure", "REGRESSION", &judgement.reason),
        Verdict::Inconclusive => element("skipped", "INCONCLUSIVE", &judgement.reason),
        other => element("error", &other.to_string(), &judgement.reason),
    };
    case("verdict", &summary.scenario, None, outcome);
    let acknowledged = |c: &Comparison| {
        judgement.findings.iter().any(|f| {
            f.contains("; acknowledged until ")
                && f.starts_with(&c.place())
                && f.contains(c.sentence.trim_end_matches('.'))
        })
    };
    for c in summary.comparisons.iter().filter(|c| c.judged) {
        let inner = match (c.meaning, c.finding) {
            (Meaning::Worse, _) if acknowledged(c) => {
                element("skipped", "acknowledged", &c.sentence)
            }
            (Meaning::Worse, _) => element("failure", "REGRESSION", &c.sentence),
            (_, Finding::CannotTell) => element("skipped", "INCONCLUSIVE", &c.sentence),
            _ => String::new(),
        };
        case(&format!("compare.{}", c.metric), &c.place(), None, inner);
    }
    for trial in &summary.trials {
        let inner = match &trial.state {
            TrialState::Done(Outcome::Complete) => String::new(),
            TrialState::NotRun => element("skipped", "not run", "the trial was not run"),
            state => element("error", state.word(), state.reason().unwrap_or_default()),
        };
        let name = format!("{}: {}", trial.number, trial.label());
        case("trial", &name, trial.wall_s, inner);
    }
    let count = |what: &str| cases.iter().filter(|c| c.contains(what)).count();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"vifbench {}\" tests=\"{}\" \
         failures=\"{}\" errors=\"{}\" skipped=\"{}\" timestamp=\"{}\">\n    <properties>\n      <property \
         name=\"run\" value=\"{}\"/>\n      <property name=\"lab\" value=\"{}\"/>\n      <property name=\"vifbench\" \
         value=\"{}\"/>\n      <property name=\"marks\" value=\"{}\"/>\n    </properties>\n{}  </testsuite>\n</testsuites>\n",
        escaped(&summary.scenario),
        cases.len(),
        count("<failure "),
        count("<error "),
        count("<skipped "),
        escaped(summary.started.get(..19).unwrap_or(&summary.started)),
        escaped(&summary.run),
        escaped(&summary.lab),
        escaped(&summary.vifbench),
        escaped(&summary.marks.join("; ")),
        cases.concat(),
    )
}

fn element(tag: &str, kind: &str, message: &str) -> String {
    let kind = match tag {
        // JUnit's schema gives `skipped` no type.
        "skipped" => String::new(),
        _ => format!(" type=\"{}\"", escaped(kind)),
    };
    format!("<{tag}{kind} message=\"{}\"/>", escaped(message))
}

/// As XML text or attribute; control characters that XML 1.0 cannot hold become spaces.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => out.push(' '),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
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
        assert_eq!(
            escaped("a<b>&\"c\"\n\u{0}"),
            "a&lt;b&gt;&amp;&quot;c&quot;  "
        );
        assert_eq!(
            plain("a|b`c`\n<i>"),
            "a\\|b\\`c\\`  ".to_owned().trim_end().to_owned() + " &lt;i&gt;"
        );
    }
}
