//! Bears witness. As a leader job it logs when its term begins, that it is alive, and when it ends; as a scheduled job it
//! counts its runs.

use std::time::Duration;

use silverback_guest::{Grant, RunError, config, leadership, state};

/// How often a leader says that it is alive, unless its config has `beat-ms`.
const BEAT: Duration = Duration::from_millis(50);

#[silverback_guest::job]
fn witness(grant: Grant) -> Result<String, RunError> {
    match grant.tick {
        Some(tick) => count(tick),
        None => lead(&grant),
    }
}

fn count(tick: u64) -> Result<String, RunError> {
    let count = state::increment("count", 1)?;
    state::set("last", &tick)?;
    Ok(format!("count={count}"))
}

fn lead(grant: &Grant) -> Result<String, RunError> {
    let (token, host) = (grant.token, &grant.identifier);
    log::info!("begin token={token} host={host}");
    let beat = config::get("beat-ms").map(|ms| ms.parse().map(Duration::from_millis)).transpose()?.unwrap_or(BEAT);
    let mut terms: Vec<u64> = state::get("terms")?.unwrap_or_default();
    terms.push(token);
    state::set("terms", &terms)?;
    let mut beats = 0;
    while !leadership::should_stop() {
        log::info!("alive token={token} n={beats}");
        beats += 1;
        leadership::sleep(beat);
    }
    log::info!("end token={token}");
    Ok(format!("beats={beats}"))
}
