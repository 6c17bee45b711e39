//! One scenario over kernels and hypervisors: the runs of a `vifbench matrix` as one table and one figure.
//!
//! ```text
//! results/<matrix>/
//!   matrix.json           MatrixRecord: what was asked of which combination, and what became of it
//!   <run>/                the run of a combination, as any other
//!   index.html, matrix.csv, figures/   made from these by `render`
//! ```

mod figure;
mod page;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::units::Rate;
use vifbench_store::files::read_json;
use vifbench_store::{FORMAT, NewFile, ReportFolder, RunReader, Versioned, read_versioned};

use crate::compare::{self, Measured, Unit};
use crate::data_hash;
use crate::error::ReportError;
use crate::figures::drawn::write_all;
use crate::figures::font;
use crate::figures::provenance::Origin;
use crate::stats::median;
use crate::summary::{RunSummary, aligned};
use crate::tables;
use crate::text::signed_percent;

/// The name of the file that makes a folder a matrix.
pub const FILE: &str = "matrix.json";

/// The numbers that are shown, in this order, where a run has them.
const SHOWN: [&str; 8] = [
    "delay_p50",
    "delay_p99",
    "pdv_p99",
    "round_trip_p50",
    "transactions",
    "throughput",
    "lost",
    "dom0_cpu_per_packet",
];

/// `matrix.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatrixRecord {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Its id, also its folder's name.
    pub matrix: String,
    /// Version of vifbench.
    pub vifbench: String,
    /// The scenario's name.
    pub scenario: String,
    /// The scenario's question.
    pub about: String,
    /// When it began, RFC 3339, UTC.
    pub began: String,
    /// Every combination, in the order of the table. The first is what the others are held against.
    pub cells: Vec<Cell>,
}

impl Versioned for MatrixRecord {
    const FORMAT: u32 = FORMAT;
}

/// One kernel on one hypervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The kernel's line, as `6.12`.
    pub kernel: String,
    /// The hypervisor's version, as `4.20`.
    pub xen: String,
    /// The run's verdict, or why there is none.
    pub verdict: String,
    /// The same in one sentence.
    pub reason: String,
    /// The run's folder beside `matrix.json`; none where it did not come so far.
    pub run: Option<String>,
    /// Variants that cannot be built for this kernel.
    pub left_out: Vec<LeftOut>,
    /// Minutes that it took, with images and boot.
    pub minutes: f64,
}

impl Cell {
    /// For tables and figures.
    pub fn name(&self) -> String {
        format!("Linux {}, Xen {}", self.kernel, self.xen)
    }
}

/// A variant that a combination does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The variant.
    pub variant: String,
    /// Why.
    pub reason: String,
}

/// A matrix with what its runs measured.
#[derive(Debug)]
pub struct Matrix {
    /// What was asked.
    pub record: MatrixRecord,
    /// One a cell.
    runs: Vec<Option<Run>>,
}

/// What a combination's run says.
#[derive(Debug)]
struct Run {
    summary: RunSummary,
    /// Full versions, as dom0 tells them.
    kernel: String,
    xen: String,
    data: String,
}

/// The same number of a variant in one combination.
#[derive(Debug, Clone, PartialEq)]
struct Value {
    unit: Unit,
    /// Median, smallest and largest over the trials.
    median: f64,
    low: f64,
    high: f64,
    trials: usize,
}

/// One row of the table.
struct Row<'m> {
    cell: usize,
    variant: &'m str,
    rate: Option<Rate>,
    /// One a column.
    values: Vec<Option<Value>>,
    /// The values of the same variant and rate in the first combination that has them, unless it is this one.
    against: Vec<Option<f64>>,
    /// The same of the first variant of this combination, unless it is this one.
    effect: Vec<Option<f64>>,
}

/// A column of the table.
#[derive(Clone)]
struct Column {
    metric: &'static str,
    name: &'static str,
    definition: &'static str,
    unit: Unit,
}

/// What [`render`] made.
#[derive(Debug)]
pub struct Rendered {
    /// All of it.
    pub matrix: Matrix,
    /// The page.
    pub index: PathBuf,
}

/// Reads the runs of a matrix and writes its page, table and figure.
///
/// # Errors
/// `matrix.json` or a run cannot be read, a file cannot be written, or there is no font to draw with.
pub fn render(folder: &Path, progress: &dyn Progress) -> Result<Rendered, ReportError> {
    let matrix = Matrix::read(folder)?;
    font::register()?;
    let task = progress.start("matrix", None);
    let figures: Vec<_> = figure::figure(&matrix).into_iter().collect();
    let origin = matrix.origin();
    let folder = ReportFolder::create(folder)?;
    let index = folder.file("index.html");
    let drawn = write_all(&folder, figures, &origin, &mut Vec::new(), task.as_ref())?;
    matrix.write_csv(folder.new_file("matrix.csv")?)?;
    let page = page::page(&matrix, &drawn, &origin);
    folder.write("index.html", page.as_bytes())?;
    task.finish(&format!("matrix in {}", index.display()));
    Ok(Rendered { matrix, index })
}

impl Matrix {
    /// Reads `matrix.json` and the summaries of its runs.
    ///
    /// # Errors
    /// One of them cannot be read, or is not what it should be.
    pub fn read(folder: &Path) -> Result<Self, ReportError> {
        let record: MatrixRecord = read_versioned(&folder.join(FILE))?;
        let read = |cell: &Cell| {
            let name = cell.run.as_deref();
            name.map(|name| Run::read(&folder.join(name))).transpose()
        };
        let runs = record.cells.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { record, runs })
    }

    /// Every number that at least one run has, in the order of [`SHOWN`].
    fn columns(&self) -> Vec<Column> {
        let measured: Vec<Measured> = self.runs.iter().flatten().flat_map(Run::measured).collect();
        let find = |metric: &str| measured.iter().find(|m| m.metric == metric);
        SHOWN
            .iter()
            .filter_map(|metric| {
                let found = find(metric)?;
                Some(Column {
                    metric: found.metric,
                    name: found.name,
                    definition: found.definition,
                    unit: found.unit,
                })
            })
            .collect()
    }

    /// The table: by combination, rate and variant.
    fn rows(&self, columns: &[Column]) -> Vec<Row<'_>> {
        let mut rows: Vec<Row<'_>> = Vec::new();
        for (cell, run) in self.runs.iter().enumerate() {
            let Some(run) = run else { continue };
            let measured: Vec<Measured> = run.measured().collect();
            for rate in run.summary.rates() {
                let mut first: Option<Vec<Option<Value>>> = None;
                for variant in run.summary.variant_names() {
                    let of = |column: &Column| {
                        let same = |m: &&Measured| {
                            m.metric == column.metric && m.variant == variant && m.rate == rate
                        };
                        Value::of(measured.iter().find(same)?)
                    };
                    let values: Vec<Option<Value>> = columns.iter().map(of).collect();
                    if values.iter().all(Option::is_none) {
                        continue;
                    }
                    let base = rows.iter().find(|r| r.variant == variant && r.rate == rate);
                    let against = percent(base.map(|row| &row.values), &values);
                    let effect = percent(first.as_ref(), &values);
                    first.get_or_insert_with(|| values.clone());
                    rows.push(Row {
                        cell,
                        variant,
                        rate,
                        values,
                        against,
                        effect,
                    });
                }
            }
        }
        rows
    }

    /// For a terminal: what became of each combination, and the table.
    pub fn to_text(&self) -> String {
        let columns = self.columns();
        let rows = self.rows(&columns);
        let mut lines = vec![format!(
            "{} over {} combinations, {}",
            self.record.scenario,
            self.record.cells.len(),
            self.record.matrix
        )];
        for cell in &self.record.cells {
            lines.push(format!(
                "  {}: {} ({})",
                cell.name(),
                cell.verdict,
                cell.reason
            ));
            for out in &cell.left_out {
                lines.push(format!("    without {}: {}", out.variant, out.reason));
            }
        }
        let mut table = vec![
            ["combination", "variant", "rate"]
                .into_iter()
                .chain(columns.iter().flat_map(|c| [c.name, ""]))
                .map(str::to_owned)
                .collect::<Vec<String>>(),
        ];
        for row in &rows {
            let mut cells = vec![
                self.record.cells[row.cell].name(),
                row.variant.to_owned(),
                row.rate.map_or_else(|| "-".to_owned(), |r| r.to_string()),
            ];
            for (value, against) in row.values.iter().zip(&row.against) {
                cells.push(
                    value
                        .as_ref()
                        .map_or_else(|| "-".to_owned(), |v| v.unit.value(v.median)),
                );
                cells.push(against.map_or_else(String::new, signed_percent));
            }
            table.push(cells);
        }
        if table.len() > 1 {
            lines.push(String::new());
            lines.extend(aligned(&table));
            lines.push(String::new());
            lines.push(format!(
                "Median over the trials; percentages: against the same variant on {}.",
                self.base()
            ));
        }
        lines.extend(self.marks().iter().map(|mark| format!("[{mark}]")));
        lines.push(String::new());
        lines.join("\n")
    }

    /// What the others are held against: the first combination that was measured.
    fn base(&self) -> String {
        let measured = self.record.cells.iter().zip(&self.runs);
        measured
            .filter(|(_, run)| run.is_some())
            .map(|(cell, _)| cell.name())
            .next()
            .unwrap_or_default()
    }

    fn marks(&self) -> Vec<String> {
        let mut marks: Vec<String> = Vec::new();
        for mark in self.runs.iter().flatten().flat_map(|r| &r.summary.marks) {
            if !marks.contains(mark) {
                marks.push(mark.clone());
            }
        }
        marks
    }

    /// On what the figure rests.
    fn basis(&self) -> Vec<String> {
        let runs = self.runs.iter().flatten();
        let measured =
            runs.flat_map(|run| run.summary.trials.iter().filter_map(|t| t.total.as_ref()));
        let sent: Vec<u64> = measured.map(|total| total.counts.sent).collect();
        let basis = format!(
            "{}, {} measured packets  ·  scenario {}, matrix {}",
            crate::text::plural(sent.len(), "trial"),
            crate::text::count(sent.iter().sum()),
            self.record.scenario,
            self.record.matrix
        );
        std::iter::once(basis)
            .chain(self.marks().iter().map(|mark| format!("▲ {mark}")))
            .collect()
    }

    fn origin(&self) -> Origin {
        let data: Vec<&str> = self
            .runs
            .iter()
            .flatten()
            .map(|r| r.data.as_str())
            .collect();
        Origin {
            run: self.record.matrix.clone(),
            basis: self.basis().join("; "),
            // Each run's own figures name its modules.
            modules: Vec::new(),
            vifbench: self.record.vifbench.clone(),
            data: data_hash::of_bytes(data.join(" ").as_bytes()),
        }
    }

    fn write_csv(&self, file: NewFile) -> Result<PathBuf, ReportError> {
        let columns = self.columns();
        let rows = self.rows(&columns);
        let numbers = || {
            rows.iter().flat_map(|row| {
                let each = row.values.iter().zip(&columns).enumerate();
                each.filter_map(move |(n, (value, column))| Some((row, n, value.as_ref()?, column)))
            })
        };
        let cell = |row: &Row<'_>| &self.record.cells[row.cell];
        let run = |row: &Row<'_>| self.runs[row.cell].as_ref();
        let text = |name: &str, of: &dyn Fn(&Row<'_>) -> String| {
            tables::column(
                name,
                numbers().map(|(row, ..)| of(row)).collect::<Vec<String>>(),
            )
        };
        let marks = self.marks().join("; ");
        let height = numbers().count();
        let frame = tables::frame(
            file.path(),
            height,
            vec![
                text("matrix", &|_| self.record.matrix.clone()),
                text("marks", &|_| marks.clone()),
                text("kernel", &|row| cell(row).kernel.clone()),
                text("xen", &|row| cell(row).xen.clone()),
                text("kernel_version", &|row| {
                    run(row).map_or_else(String::new, |run| run.kernel.clone())
                }),
                text("xen_version", &|row| {
                    run(row).map_or_else(String::new, |run| run.xen.clone())
                }),
                text("run", &|row| cell(row).run.clone().unwrap_or_default()),
                text("variant", &|row| row.variant.to_owned()),
                text("rate", &|row| {
                    row.rate.map_or_else(String::new, |r| r.to_string())
                }),
                tables::column(
                    "metric",
                    numbers().map(|(.., c)| c.metric).collect::<Vec<_>>(),
                ),
                tables::column(
                    "unit",
                    numbers()
                        .map(|(_, _, v, _)| v.unit.name())
                        .collect::<Vec<_>>(),
                ),
                tables::column(
                    "median",
                    numbers().map(|(_, _, v, _)| v.median).collect::<Vec<_>>(),
                ),
                tables::column(
                    "smallest",
                    numbers().map(|(_, _, v, _)| v.low).collect::<Vec<_>>(),
                ),
                tables::column(
                    "largest",
                    numbers().map(|(_, _, v, _)| v.high).collect::<Vec<_>>(),
                ),
                tables::column(
                    "trials",
                    numbers()
                        .map(|(_, _, v, _)| v.trials as u32)
                        .collect::<Vec<_>>(),
                ),
                tables::column(
                    "percent_against_first_combination",
                    numbers()
                        .map(|(row, n, ..)| row.against[n])
                        .collect::<Vec<_>>(),
                ),
                tables::column(
                    "percent_against_first_variant",
                    numbers()
                        .map(|(row, n, ..)| row.effect[n])
                        .collect::<Vec<_>>(),
                ),
            ],
        )?;
        tables::write_csv(file, frame)
    }
}

impl Run {
    fn read(folder: &Path) -> Result<Self, ReportError> {
        let run = RunReader::new(folder);
        let summary: RunSummary = read_json(&run.report().join("summary.json"))?;
        let (mut kernel, mut xen) = (String::new(), String::new());
        for trial in &summary.trials {
            let Some(record) = run.read_trial(trial.number)? else {
                continue;
            };
            if let Some((_, ruler)) = record.rulers.iter().find(|(host, _)| host == "dom0") {
                let first = |text: &str, end: char| text.split(end).next().unwrap_or("").to_owned();
                kernel = first(&ruler.kernel, ' ');
                xen = first(ruler.xen.as_deref().unwrap_or(""), ';');
                break;
            }
        }
        Ok(Self {
            summary,
            kernel,
            xen,
            data: data_hash::of_run(&run)?,
        })
    }

    /// Every number of all flows together.
    fn measured(&self) -> impl Iterator<Item = Measured> {
        compare::measured(&self.summary.trials)
            .into_iter()
            .filter(|m| m.to == "all")
    }
}

impl Value {
    fn of(measured: &Measured) -> Option<Self> {
        let values = || measured.values.iter().copied();
        Some(Self {
            unit: measured.unit,
            median: median(&measured.values)?,
            low: values().fold(f64::INFINITY, f64::min),
            high: values().fold(f64::NEG_INFINITY, f64::max),
            trials: measured.values.len(),
        })
    }
}

/// By how many percent each value differs from its base; none where either is missing, or the base is zero.
fn percent(base: Option<&Vec<Option<Value>>>, values: &[Option<Value>]) -> Vec<Option<f64>> {
    let Some(base) = base else {
        return vec![None; values.len()];
    };
    let one = |(base, value): (&Option<Value>, &Option<Value>)| {
        let (base, value) = (base.as_ref()?.median, value.as_ref()?.median);
        (base != 0.0).then(|| (value / base - 1.0) * 100.0)
    };
    base.iter().zip(values).map(one).collect()
}
