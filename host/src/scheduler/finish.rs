//! The end of a run: its outcome and its state writes, committed together.

use super::ledger::{Ledger, Setback};
use crate::history::{Outcome, RunRecord};
use crate::runtime::StateWrite;

/// Commits how a run ended, and what it wrote. Gives the outcome and detail as they are to be told: where not all could be
/// kept, they say so.
pub(super) async fn finish(
    ledger: &mut Ledger,
    record: RunRecord,
    outcome: Outcome,
    detail: String,
    writes: &[StateWrite],
) -> (Result<(), Setback>, Outcome, String) {
    let setback = match commit(ledger, &record, outcome, &detail, writes).await {
        Ok(()) => return (Ok(()), outcome, detail),
        Err(setback) => setback,
    };
    let (told, why) = match (&setback, outcome) {
        // A stopped guest has no writes, and the record of it says all there is.
        (_, Outcome::LostLeadership) => (outcome, detail),
        (Setback::Lost, _) => (
            Outcome::LostLeadership,
            format!("it ended as `{outcome}` after the term was over, and nothing of it was kept"),
        ),
        (Setback::Unknown, _) => {
            (Outcome::Unknown, format!("it ended as `{outcome}`, and whether that was kept is not known: {setback}"))
        }
        (Setback::Refused(error), Outcome::Succeeded) => {
            let why = format!("it ended as `{outcome}`, and its state writes were refused: {error}");
            // Without the writes it may pass.
            let finished = commit(ledger, &record, Outcome::Failed, &why, &[]).await;
            return (finished, Outcome::Failed, why);
        }
        (Setback::JobChanged | Setback::StateChanged, Outcome::Succeeded) => {
            (Outcome::Failed, format!("it ended as `{outcome}`, and nothing of it was kept: {setback}"))
        }
        (
            Setback::Refused(_) | Setback::JobChanged | Setback::StateChanged,
            Outcome::Failed | Outcome::TimedOut | Outcome::Skipped | Outcome::Unknown,
        ) => (outcome, detail),
    };
    (Err(setback), told, why)
}

async fn commit(
    ledger: &mut Ledger,
    record: &RunRecord,
    outcome: Outcome,
    detail: &str,
    writes: &[StateWrite],
) -> Result<(), Setback> {
    let mut next = ledger.state().clone();
    next.running = None;
    next.push(RunRecord { outcome: Some(outcome), detail: detail.to_owned(), ..record.clone() });
    ledger.commit(next, None, writes).await
}
