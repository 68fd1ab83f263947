//! Measures the subjects of the bench, one after the other. One that fails becomes a row that says why, and costs none of
//! the others.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, ensure};

use crate::figure::Row;

/// Measures a subject. What it starts ends with it, also if it panics.
pub type Measure = fn() -> Result<Vec<Row>>;

/// Measures the subjects that are `wanted` by name, or all if none is. Calls `begin` with the name of each before.
///
/// # Errors
/// Names in `wanted` that no subject has. Nothing is measured then.
pub fn measure(subjects: &[(&str, Measure)], wanted: &[String], begin: impl Fn(&str)) -> Result<Vec<Row>> {
    let names: Vec<&str> = subjects.iter().map(|(name, _)| *name).collect();
    let unknown: Vec<&str> = wanted.iter().map(String::as_str).filter(|name| !names.contains(name)).collect();
    ensure!(unknown.is_empty(), "no subject is called {}: there are {}", unknown.join(", "), names.join(", "));
    let mut rows = Vec::new();
    for (name, measure) in subjects {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            begin(name);
            rows.extend(rows_of(name, measure));
        }
    }
    Ok(rows)
}

/// Measures one subject, or a part of one that is to cost the other parts nothing if it fails.
pub fn rows_of(name: &str, measure: impl FnOnce() -> Result<Vec<Row>>) -> Vec<Row> {
    match catch_unwind(AssertUnwindSafe(measure)) {
        Ok(Ok(measured)) => measured,
        Ok(Err(error)) => vec![Row::failed(name, &format!("{error:#}"))],
        Err(panic) => vec![Row::failed(name, &format!("it panicked: {}", message(panic.as_ref())))],
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use anyhow::bail;

    use super::*;
    use crate::figure::table;
    use crate::process::Process;

    /// The process that the subject which panics started.
    static STARTED: Mutex<Option<u32>> = Mutex::new(None);

    fn one() -> Result<Vec<Row>> {
        Ok(vec![Row::new("one", 1.0, "ms"), Row::new("one more", 2.0, "ms")])
    }

    fn fails() -> Result<Vec<Row>> {
        bail!("no server:\nrefused")
    }

    fn panics() -> Result<Vec<Row>> {
        let dir = tempfile::tempdir()?;
        let sleeper = Process::start("sleeper", Path::new("sleep"), &["600".to_owned()], dir.path());
        *STARTED.lock().unwrap() = Some(sleeper.pid());
        assert_eq!(sleeper.pid(), 0, "waited for {}", "nothing");
        Ok(Vec::new())
    }

    fn last() -> Result<Vec<Row>> {
        Ok(vec![Row::new("last", 3.0, "ms")])
    }

    const SUBJECTS: [(&str, Measure); 4] = [("one", one), ("fails", fails), ("panics", panics), ("last", last)];

    #[test]
    fn b1_a_subject_that_fails_is_a_row_and_costs_no_other() {
        let rows = measure(&SUBJECTS, &[], |_| ()).unwrap();
        let text = table(&rows);
        let names: Vec<&str> = text.lines().map(|line| line.split("  ").next().unwrap()).collect();
        assert_eq!(names, ["name", "one", "one more", "fails", "panics", "last"]);
        let failures: Vec<bool> = rows.iter().map(Row::is_failure).collect();
        assert_eq!(failures, [false, false, true, true, false]);
        assert!(text.contains("FAILED: no server: refused\n"), "{text}");
        assert!(text.contains("FAILED: it panicked: assertion `left == right` failed: waited for nothing"), "{text}");
        let started = STARTED.lock().unwrap().expect("it was started");
        assert!(!Path::new(&format!("/proc/{started}")).exists(), "a child of the failed subject runs");
    }

    #[test]
    fn b1_only_what_is_wanted_is_measured_and_it_must_exist() {
        let wanted = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            measure(&SUBJECTS, &names, |_| ()).map(|rows| rows.len()).map_err(|error| error.to_string())
        };
        assert_eq!(wanted(&["last", "fails"]), Ok(2));
        let refused = "no subject is called first: there are one, fails, panics, last";
        assert_eq!(wanted(&["last", "first"]), Err(refused.to_owned()));
    }
}
