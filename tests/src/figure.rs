//! Figures of the bench: a row each, with what it is held against, as a table for people and as JSON for programs.
//!
//! It doesn't know how anything is measured.

use std::fmt::{self, Write as _};

use serde_json::{Value, json};

/// One figure, or why there is none.
#[derive(Clone, Debug)]
pub struct Row {
    name: String,
    value: Option<f64>,
    unit: &'static str,
    against: Option<Against>,
    target: Option<Target>,
    failure: Option<String>,
}

/// The peer or floor, measured in the same run and in the same unit.
#[derive(Clone, Debug)]
struct Against {
    name: String,
    value: f64,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// The figure is at most so many times what it is held against.
    RatioAtMost(f64),
    /// The figure is at least so many times what it is held against.
    RatioAtLeast(f64),
    /// The figure itself is at most this.
    AtMost(f64),
    /// The figure itself is at least this.
    AtLeast(f64),
}

impl Row {
    /// A figure on its own.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Row { name: name.into(), value: Some(value), unit, against: None, target: None, failure: None }
    }

    /// In place of figures that were not measured, with the reason.
    pub fn failed(name: impl Into<String>, reason: &str) -> Self {
        let failure = Some(reason.lines().map(str::trim).collect::<Vec<_>>().join(" "));
        Row { name: name.into(), value: None, unit: "-", against: None, target: None, failure }
    }

    /// Whether it stands for figures that were not measured.
    pub fn is_failure(&self) -> bool {
        self.failure.is_some()
    }

    /// Held against a peer or floor.
    #[must_use]
    pub fn against(self, name: impl Into<String>, value: f64) -> Self {
        Row { against: Some(Against { name: name.into(), value }), ..self }
    }

    /// With a target.
    #[must_use]
    pub fn target(self, target: Target) -> Self {
        Row { target: Some(target), ..self }
    }

    /// How many times what it is held against, None where that is nothing.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.value? / self.against.as_ref()?.value)
    }

    /// Whether the target is met; None where there is none, or nothing to compare with.
    pub fn met(&self) -> Option<bool> {
        Some(match self.target? {
            Target::RatioAtMost(most) => self.ratio()? <= most,
            Target::RatioAtLeast(least) => self.ratio()? >= least,
            Target::AtMost(most) => self.value? <= most,
            Target::AtLeast(least) => self.value? >= least,
        })
    }

    fn cells(&self) -> [String; COLUMNS.len()] {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let met = self.met().map(|met| if met { "yes" } else { "NO" }.to_owned());
        let failed = self.failure.as_ref().map(|failure| format!("FAILED: {failure}"));
        [
            self.name.clone(),
            or_dash(self.value.map(short)),
            self.unit.to_owned(),
            or_dash(self.against.as_ref().map(|against| format!("{} {}", short(against.value), against.name))),
            or_dash(self.ratio().map(|ratio| format!("{ratio:.2}"))),
            or_dash(self.target.map(|target| target.to_string())),
            or_dash(met.or(failed)),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "against": self.against.as_ref().map(|against| json!({ "name": against.name, "value": against.value })),
            "ratio": self.ratio(),
            "target": self.target.map(|target| target.to_string()),
            "met": self.met(),
            "failure": self.failure,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::RatioAtMost(most) => write!(f, "ratio <= {most}"),
            Target::RatioAtLeast(least) => write!(f, "ratio >= {least}"),
            Target::AtMost(most) => write!(f, "<= {most}"),
            Target::AtLeast(least) => write!(f, ">= {least}"),
        }
    }
}

const COLUMNS: [&str; 7] = ["name", "value", "unit", "against", "ratio", "target", "met"];

/// The rows as a table, a line each.
pub fn table(rows: &[Row]) -> String {
    let mut lines = vec![COLUMNS.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let mut widths = [0; COLUMNS.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (width, cell) in widths.iter().zip(line) {
            let _ = write!(row, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text
}

/// The rows as a JSON array, an object each with the table's columns and `failure` as fields. `against` is an object of name
/// and value; what a row doesn't have is null.
pub fn json(rows: &[Row]) -> String {
    let rows: Value = rows.iter().map(Row::json).collect();
    format!("{rows:#}\n")
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value.abs() {
        below if below < 10.0 => format!("{value:.2}"),
        below if below < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> [Row; 3] {
        [
            Row::new("cost of a run", 26.04, "us").against("bare loop", 20.0).target(Target::RatioAtMost(1.3)),
            Row::new("handover", 1.0, "ms").against("kazoo", 2.0).target(Target::RatioAtMost(1.0)),
            Row::new("runs in a second", 1234.5, "1/s"),
        ]
    }

    #[test]
    fn targets_are_met_at_the_limit_and_missed_past_it() {
        let met = |value, target| Row::new("", value, "").against("", 2.0).target(target).met();
        for (value, target, expected) in [
            (2.6, Target::RatioAtMost(1.3), true),
            (2.7, Target::RatioAtMost(1.3), false),
            (1.6, Target::RatioAtLeast(0.8), true),
            (1.5, Target::RatioAtLeast(0.8), false),
            (25.0, Target::AtMost(25.0), true),
            (25.1, Target::AtMost(25.0), false),
            (100.0, Target::AtLeast(100.0), true),
            (99.5, Target::AtLeast(100.0), false),
        ] {
            assert_eq!(met(value, target), Some(expected), "{value} {target}");
        }
    }

    #[test]
    fn without_a_target_or_anything_to_compare_with_nothing_is_met_or_missed() {
        assert_eq!(Row::new("", 1.0, "").against("", 2.0).met(), None);
        assert_eq!(Row::new("", 1.0, "").target(Target::RatioAtMost(1.0)).met(), None);
    }

    #[test]
    fn the_table_has_a_line_for_each_row() {
        let lines: Vec<String> = table(&rows()).lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "name              value  unit  against         ratio  target        met",
                "cost of a run     26.0   us    20.0 bare loop  1.30   ratio <= 1.3  NO",
                "handover          1.00   ms    2.00 kazoo      0.50   ratio <= 1    yes",
                "runs in a second  1234   1/s   -               -      -             -",
            ]
        );
    }

    #[test]
    fn b1_a_row_of_a_failed_subject_has_the_reason() {
        let rows = [Row::new("runs", 12.0, "1/s"), Row::failed("herd", "no leader\n  seen: 500\n")];
        let lines: Vec<String> = table(&rows).lines().map(str::to_owned).collect();
        assert_eq!(lines[2], "herd  -      -     -        -      -       FAILED: no leader seen: 500");
        let parsed: Value = serde_json::from_str(&json(&rows)).unwrap();
        assert_eq!((&parsed[1]["value"], &parsed[1]["failure"]), (&Value::Null, &json!("no leader seen: 500")));
    }

    #[test]
    fn the_json_has_the_columns_as_fields() {
        let parsed: Value = serde_json::from_str(&json(&rows())).unwrap();
        assert_eq!(
            parsed[1],
            json!({
                "name": "handover", "value": 1.0, "unit": "ms", "against": { "name": "kazoo", "value": 2.0 },
                "ratio": 0.5, "target": "ratio <= 1", "met": true, "failure": null,
            })
        );
        assert_eq!((&parsed[2]["against"], &parsed[2]["met"]), (&Value::Null, &Value::Null));
        let fields: Vec<&String> = parsed[0].as_object().unwrap().keys().collect();
        assert!(COLUMNS.iter().all(|column| fields.iter().any(|field| field == column)), "{fields:?}");
    }
}
