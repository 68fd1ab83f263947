//! Reads what a job.toml says of a scheduled job's runs: flat keys, and the table `[retry]`.

use toml::Value;

use super::Fields;
use crate::registry::policies::{BACKOFF_BOUNDS, DEADLINE_BOUNDS, RETRY_JITTER_BOUNDS, WINDOW_BOUNDS};
use crate::registry::validate::{self, SpecError};
use crate::registry::{CatchUpRule, Delivery, OverlapRule, PolicySpec, RetryOn, RetrySpec};

/// As it is written; whether it can be is looked at with the rest of the job.
pub(super) fn policies(fields: &mut Fields<'_>) -> Result<PolicySpec, SpecError> {
    let overlap = fields.one_of(
        "overlap",
        &[
            ("skip", OverlapRule::Skip),
            ("queue-one", OverlapRule::QueueOne),
            ("queue-all", OverlapRule::QueueAll),
            ("cancel-running", OverlapRule::CancelRunning),
            ("allow", OverlapRule::Allow),
        ],
    )?;
    let catch_up = fields.one_of(
        "catch_up",
        &[("latest", CatchUpRule::Latest), ("none", CatchUpRule::None), ("all", CatchUpRule::All)],
    )?;
    let delivery = fields
        .one_of("delivery", &[("at-most-once", Delivery::AtMostOnce), ("at-least-once", Delivery::AtLeastOnce)])?;
    Ok(PolicySpec {
        overlap,
        max_queued: fields.count("max_queued")?,
        max_running: fields.count("max_running")?,
        catch_up,
        catch_up_window_ms: fields.duration_ms("catch_up_window", WINDOW_BOUNDS)?,
        max_catch_up: fields.count("max_catch_up")?,
        start_deadline_ms: fields.duration_ms("start_deadline", DEADLINE_BOUNDS)?,
        retry: retry(fields)?,
        delivery,
        pause_after_failures: fields.count("pause_after_failures")?,
        history: fields.count("history")?,
    })
}

fn retry(fields: &mut Fields<'_>) -> Result<Option<RetrySpec>, SpecError> {
    let Some(mut table) = fields.table("retry", "retry.")? else { return Ok(None) };
    let count = table.count("count")?.ok_or_else(|| SpecError::Missing {
        subject: validate::subject(table.job),
        field: "retry.count",
        hint: "write count = 3",
    })?;
    let retry = RetrySpec {
        count,
        backoff_ms: table.duration_ms("backoff", BACKOFF_BOUNDS)?,
        max_backoff_ms: table.duration_ms("max_backoff", BACKOFF_BOUNDS)?,
        factor: table.count("factor")?,
        jitter_ms: table.duration_ms("jitter", RETRY_JITTER_BOUNDS)?,
        on: table.one_of("on", &[("retryable", RetryOn::Retryable), ("all", RetryOn::All)])?,
    };
    table.finish("schedule")?;
    Ok(Some(retry))
}

impl Fields<'_> {
    /// One of these words; the default where there is none.
    fn one_of<T: Copy + Default>(&mut self, key: &str, words: &[(&str, T)]) -> Result<T, SpecError> {
        let Some(text) = self.text(key)? else { return Ok(T::default()) };
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            self.invalid(key, &text, &format!("it must be one of {}", words.join(", ")))
        })
    }

    /// A whole number.
    fn count(&mut self, key: &str) -> Result<Option<u32>, SpecError> {
        match self.table.remove(key) {
            None => Ok(None),
            Some(Value::Integer(number)) => u32::try_from(number)
                .map(Some)
                .map_err(|_| self.invalid(key, &number.to_string(), "it must be a small whole number, from 0 on")),
            Some(other) => Err(self.wrong_type(key, "a whole number", &other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::JobFile;
    use crate::registry::{Digest, JobSpec, SpecError};

    const JOB: &str = "tenant = 'acme'\nname = 'nightly'\ncomponent = 'n.wasm'\n";
    const LEADER: &str = "trigger = 'leader'\n";
    const SCHEDULE: &str = "trigger = 'schedule'\nschedule = '0 3 * * *'\n";

    fn parse(text: &str) -> Result<JobSpec, SpecError> {
        let file = JobFile::parse(&format!("{JOB}{text}"), Path::new("jobs"))?;
        Ok(file.into_spec(Digest::of(b"component")))
    }

    #[test]
    fn all_policies_are_read() {
        let spec = parse(&format!(
            "{SCHEDULE}overlap = 'queue-all'\nmax_queued = 3\ncatch_up = 'all'\ncatch_up_window = '1h'\nmax_catch_up = 5\n\
             start_deadline = '2h'\ndelivery = 'at-least-once'\npause_after_failures = 4\nhistory = 20\n\
             [retry]\ncount = 3\nbackoff = '1s'\nmax_backoff = '1m'\nfactor = 3\njitter = '500ms'\non = 'all'\n"
        ))
        .unwrap();
        insta::assert_debug_snapshot!(spec.trigger);
        let stored = serde_json::to_vec(&spec).unwrap();
        assert_eq!(JobSpec::from_json(&stored).unwrap(), spec);
    }

    #[test]
    fn wrong_policies_are_refused_with_field_and_value() {
        let texts = [
            "overlap = 'forbid'",
            "overlap = 3",
            "max_queued = 'many'",
            "max_queued = -1",
            "max_queued = 3",
            "catch_up = 'some'",
            "catch_up_window = '1h'",
            "catch_up = 'all'\ncatch_up_window = '0s'",
            "start_deadline = '0s'",
            "start_deadline = 'soon'",
            "delivery = 'exactly-once'",
            "retry = 3",
            "[retry]\nbackoff = '1s'",
            "[retry]\ncount = 3\non = 'never'",
            "[retry]\ncount = 3\nbackof = '1s'",
            "pause_after_failures = 0",
            "history = 1.5",
        ];
        let mut refusals: Vec<String> =
            texts.iter().map(|text| parse(&format!("{SCHEDULE}{text}")).unwrap_err().to_string()).collect();
        refusals.push(parse(&format!("{LEADER}overlap = 'skip'")).unwrap_err().to_string());
        insta::assert_snapshot!(refusals.join("\n"));
    }
}
