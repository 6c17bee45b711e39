//! What a part found, for people and for programs.

use serde::Serialize;

use super::tools::Tool;
use crate::cli::Part;
use crate::output::{OutputError, stdout};

/// What one part found.
#[derive(Debug, Default, Serialize)]
pub struct Answer {
    /// On what it was measured, in one sentence.
    pub setting: String,
    /// The numbers.
    pub rows: Vec<Row>,
    /// The public tools that were asked for, installed or not.
    pub tools: Vec<Tool>,
    /// What a reader of the numbers must know.
    pub notes: Vec<String>,
    /// Why it could not be measured.
    pub failed: Option<String>,
}

/// One number.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Of what.
    pub what: String,
    /// By which tool; `vifbench` is this one.
    pub by: String,
    /// How much.
    pub value: f64,
    /// Of which unit.
    pub unit: &'static str,
}

impl Answer {
    /// Of a part that could not be measured.
    pub fn failed(why: String) -> Self {
        Self {
            failed: Some(why),
            ..Self::default()
        }
    }

    /// Adds a number.
    pub fn row(&mut self, what: &str, by: &str, value: f64, unit: &'static str) {
        self.rows.push(Row {
            what: what.to_owned(),
            by: by.to_owned(),
            value,
            unit,
        });
    }

    /// Puts the numbers of one thing side by side, whichever tool they are from.
    pub fn side_by_side(&mut self) {
        let mut order: Vec<String> = Vec::new();
        for row in &self.rows {
            if !order.contains(&row.what) {
                order.push(row.what.clone());
            }
        }
        self.rows
            .sort_by_key(|row| order.iter().position(|what| *what == row.what));
    }

    /// For people.
    pub fn print(&self, part: Part) -> Result<(), OutputError> {
        writeln!(stdout(), "\n{}: {}", part.name(), self.setting)?;
        let width = |of: fn(&Row) -> &str| {
            let widths = self.rows.iter().map(|row| of(row).chars().count());
            widths.max().unwrap_or(0)
        };
        let (what, by) = (width(|r| &r.what), width(|r| &r.by));
        for row in &self.rows {
            writeln!(
                stdout(),
                "  {:<what$}  {:<by$}  {:>14} {}",
                row.what,
                row.by,
                number(row.value),
                row.unit
            )?;
        }
        for tool in &self.tools {
            writeln!(stdout(), "  {tool}")?;
        }
        for note in &self.notes {
            writeln!(stdout(), "  note: {note}")?;
        }
        if let Some(why) = &self.failed {
            writeln!(stdout(), "  failed: {why}")?;
        }
        Ok(())
    }
}

/// Counts in full, anything else to four digits.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    let digits = (3.0 - value.abs().log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_keep_four_digits() {
        let texts = [5_972_774.0, 4.412_34, 0.000_123_456, 53.25, 12_345.6].map(number);
        assert_eq!(texts, ["5972774", "4.412", "0.0001235", "53.25", "12346"]);
        assert_eq!(number(0.0), "0");
    }
}
