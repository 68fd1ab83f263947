//! A report that keeps itself up to date. Each tick counts into the bucket of its minute, and once a minute is over the
//! report says how many ticks it had. The outcome of a run and what it wrote are committed together, so no tick is counted
//! twice, and none that succeeded is lost, whichever host ran it.
//!
//! Where the job's config names an `url`, the total goes there as well. README.md says exactly what happens: the same job
//! stands in other languages beside this folder, and all of them keep to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use silverback_guest::{Grant, RunError, config, http, state};

const MINUTE_MS: u64 = 60_000;

/// What is kept under the key `report`.
#[derive(Default, Deserialize, Serialize)]
struct Report {
    ticks: u64,
    retries: u64,
    /// Milliseconds since 1970.
    first_tick_ms: Option<u64>,
    last_tick_ms: Option<u64>,
    /// Ticks of each minute (minutes since 1970), the newest ones.
    minutes: BTreeMap<u64, u64>,
}

#[silverback_guest::job]
fn roll_up(grant: Grant) -> Result<String, RunError> {
    let keep = config::get_as("keep_minutes").map_err(RunError::permanent)?.unwrap_or(60);
    let mut report: Report = state::get("report")?.unwrap_or_default();
    // A run by hand is of no tick: it has nothing to count.
    if let Some(tick) = grant.tick {
        report.count(tick, grant.attempt, keep);
        state::set("report", &report)?;
    }
    let summary = format!("{} ticks in {} minutes", report.ticks, report.minutes.len());
    log::info!("{summary}");
    if let Some(url) = config::get("url") {
        tell(&url, report.ticks)?;
    }
    Ok(summary)
}

/// Sends the total to the URL, and counts the answers. A target that is away doesn't fail the run: the next one tells it.
fn tell(url: &str, total: u64) -> Result<(), RunError> {
    match http::post(url, total.to_string()) {
        Ok(response) => {
            let answers = state::increment("answers", 1)?;
            log::info!("{url} answered {}, answer {answers}", response.status);
        }
        Err(error) => log::warn!("{url} was not told: {error}"),
    }
    Ok(())
}

impl Report {
    fn count(&mut self, tick_ms: u64, attempt: u32, keep: usize) {
        self.ticks += 1;
        self.retries += u64::from(attempt > 1);
        self.first_tick_ms.get_or_insert(tick_ms);
        self.last_tick_ms = Some(tick_ms);
        *self.minutes.entry(tick_ms / MINUTE_MS).or_default() += 1;
        while self.minutes.len() > keep.max(1) {
            self.minutes.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_minutes_are_kept() {
        let mut report = Report::default();
        (0..10).for_each(|half| report.count(half * MINUTE_MS / 2, 1, 3));
        assert_eq!(report.minutes, BTreeMap::from([(2, 2), (3, 2), (4, 2)]));
        assert_eq!((report.ticks, report.first_tick_ms, report.last_tick_ms), (10, Some(0), Some(270_000)));
    }
}
