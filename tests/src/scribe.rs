//! Reads what the guest `scribe` wrote to its state, as effects in the order in which the server committed them.

use serde::Deserialize;

use crate::history_checker::{Effect, Summary, effects_agree_with_tokens};
use crate::txn_log::{Deed, Transaction};

/// What a scribe keeps under its one key.
#[derive(Deserialize)]
struct Entry {
    token: i64,
    sequence: u64,
}

/// The effects of the scribe that is job `tenant/name` below `/silverback`, among all that a server committed.
///
/// # Panics
/// Where something else stands under its key.
pub fn effects(job: &str, transactions: &[Transaction]) -> Vec<Effect> {
    let path = format!("/silverback/state/{job}/entry");
    let values = transactions.iter().filter_map(|transaction| match &transaction.deed {
        Deed::Wrote(writes) => {
            writes.iter().find(|write| write.path == path).map(|write| (transaction.zxid, &write.value))
        }
        Deed::Refused | Deed::SessionClosed | Deed::Other => None,
    });
    values
        .map(|(zxid, value)| {
            let entry: Entry = serde_json::from_slice(value).expect("a scribe writes entries");
            Effect { target: path.clone(), order: zxid, token: entry.token, sequence: entry.sequence }
        })
        .collect()
}

/// What these effects are made of.
///
/// # Panics
/// Where their order doesn't agree with that of the tokens.
#[track_caller]
pub fn assert_agree(effects: &[Effect]) -> Summary {
    effects_agree_with_tokens(effects).unwrap_or_else(|violations| {
        let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
        panic!("{} of {} effects are out of order:\n{}", lines.len(), effects.len(), lines.join("\n"))
    })
}
