//! Tables for a paper: LaTeX with `booktabs`, each with what it rests on in its caption.

use std::fmt::Write as _;

use crate::compare::{Comparison, Finding};
use crate::figures::provenance::Origin;
use crate::latex::escaped;
use crate::summary::RunSummary;
use crate::text::{self, count, mbits, three_digits, time};

/// A table: its columns' kinds (`l`, `r`), its head, and its rows. A row of one empty cell is a rule.
pub struct Table {
    /// Anchor, after `tab:`.
    pub label: &'static str,
    /// What it shows.
    pub caption: String,
    /// One letter a column.
    pub columns: String,
    /// Its head.
    pub head: Vec<String>,
    /// Its rows, in groups between which a rule is drawn.
    pub groups: Vec<Vec<Vec<String>>>,
}

impl Table {
    /// As LaTeX source.
    pub fn tex(&self, origin: &Origin) -> String {
        let mut out = String::new();
        let one_line = |text: &str| text.replace(char::is_control, " ");
        // Writing to a String cannot fail.
        let _ = writeln!(out, "% run: {}", one_line(&origin.run));
        for module in &origin.modules {
            let _ = writeln!(out, "% module: {}", one_line(module));
        }
        let _ = writeln!(
            out,
            "% vifbench: {}\n% data: {}\n% The preamble needs: \\usepackage{{booktabs}}",
            one_line(&origin.vifbench),
            origin.data
        );
        let row = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|c| escaped(c)).collect();
            format!("  {} \\\\\n", cells.join(" & "))
        };
        let _ = write!(
            out,
            "\\begin{{table}}\n\\centering\\footnotesize\n\\caption{{{} {}}}\n\\label{{tab:{}}}\n\
             \\begin{{tabular}}{{@{{}}{}@{{}}}}\n\\toprule\n{}\\midrule\n",
            escaped(&self.caption),
            escaped(&origin.basis),
            self.label,
            self.columns,
            row(&self.head),
        );
        for (n, group) in self.groups.iter().enumerate() {
            if n > 0 {
                out.push_str("\\midrule\n");
            }
            for cells in group {
                out.push_str(&row(cells));
            }
        }
        out.push_str("\\bottomrule\n\\end{tabular}\n\\end{table}\n");
        out
    }
}

fn dash(value: Option<String>) -> String {
    value.unwrap_or_else(|| "–".to_owned())
}

/// By rate, guest and variant: medians over the trials.
pub fn results(summary: &RunSummary) -> Table {
    let mut groups: Vec<Vec<Vec<String>>> = Vec::new();
    let mut last = None;
    for row in summary.variants.iter().filter(|r| r.trials > 0) {
        let key = (row.rate, row.flow);
        if last != Some(key) {
            groups.push(Vec::new());
            last = Some(key);
        }
        let cells = vec![
            row.rate.map_or_else(|| "–".to_owned(), |r| r.to_string()),
            row.to.clone(),
            row.variant.clone(),
            row.trials.to_string(),
            count(row.sent),
            count(row.lost),
            dash(row.delay_p50_ns.map(time)),
            dash(row.delay_p99_ns.map(time)),
            row.delay_bound_ns
                .map_or_else(|| "none".to_owned(), |b| format!("±{}", time(b as f64))),
            dash(row.abs_ipdv_mean_ns.map(time)),
            dash(row.pdv_p99_ns.map(time)),
            dash(row.throughput_bps.map(mbits)),
            dash(row.dom0_ns_per_packet.map(time)),
        ];
        if let Some(group) = groups.last_mut() {
            group.push(cells);
        }
    }
    Table {
        label: "results",
        caption: format!(
            "{}: one-way delay from tx to rx, its variation, throughput and dom0's CPU time a packet; medians over the \
             trials.",
            summary.scenario
        ),
        columns: "lllrrrrrrrrrr".to_owned(),
        head: [
            "rate", "to", "variant", "trials", "sent", "lost", "p50", "p99", "bound", "|IPDV|",
            "PDV p99", "Mbit/s", "CPU",
        ]
        .map(str::to_owned)
        .to_vec(),
        groups,
    }
}

/// Every judged number of all flows against the base.
pub fn comparisons(summary: &RunSummary) -> Table {
    let mut groups: Vec<Vec<Vec<String>>> = Vec::new();
    let mut last: Option<(&str, String)> = None;
    for c in summary
        .comparisons
        .iter()
        .filter(|c| c.flow.is_none() && c.judged)
    {
        let rate = c.rate.map_or_else(|| "–".to_owned(), |r| r.to_string());
        let key = (c.other.as_str(), rate.clone());
        if last.as_ref() != Some(&key) {
            groups.push(Vec::new());
            last = Some(key);
        }
        if let Some(group) = groups.last_mut() {
            group.push(comparison(c, rate));
        }
    }
    Table {
        label: "comparisons",
        caption: format!(
            "{}: differences of the means over the blocks, paired by block, with 95 % confidence intervals (bootstrap-t) \
             and familywise p (sign flips, step-down maxT).",
            summary.scenario
        ),
        columns: "lllrrrrl".to_owned(),
        head: [
            "variant",
            "rate",
            "number",
            "difference",
            "%",
            "95 % interval",
            "p",
            "finding",
        ]
        .map(str::to_owned)
        .to_vec(),
        groups,
    }
}

fn comparison(c: &Comparison, rate: String) -> Vec<String> {
    let interval = c.interval.map(|i| {
        format!(
            "{} to {}",
            c.unit.difference(i.low),
            c.unit.difference(i.high)
        )
    });
    let finding = match c.finding {
        Finding::Equal => "equal",
        Finding::Small => "too small to matter",
        Finding::NotWorse => "not worse",
        Finding::CannotTell => "cannot tell",
        Finding::Higher => "higher",
        Finding::Lower => "lower",
    };
    vec![
        c.other.clone(),
        rate,
        c.name.clone(),
        c.unit.difference(c.mean),
        dash(c.percent.map(text::signed_percent)),
        dash(interval),
        dash(c.p.map(three_digits)),
        finding.to_owned(),
    ]
}
