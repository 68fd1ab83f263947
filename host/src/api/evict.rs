//! Removing a contender that hangs from a job's election, without its help: the ensemble is told by whichever host is asked.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use bytes::Bytes;
use tracing::warn;

use super::jobs::{Named, id};
use super::{Api, ApiError, ContenderRow, Evicted, Eviction, GroupRow, MAX_EVICTION_BYTES, MAX_SHOWN_BYTES};
use crate::coordinator::{Error, repeat};
use crate::registry::JobId;
use crate::text::cut;

/// How many contenders an error lists.
const MAX_SHOWN_ROWS: usize = 16;

/// Deletes the contender's node and returns it as it stood. Its host, if it lives, sees that and stops its guests.
pub(super) async fn evict(
    State(api): State<Arc<Api>>,
    path: Named,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Evicted>, ApiError> {
    let id = id(path)?;
    let body = body.map_err(|rejection| ApiError::body("eviction", MAX_EVICTION_BYTES, &rejection))?;
    let eviction: Eviction =
        serde_json::from_slice(&body).map_err(|error| ApiError::Invalid(format!("not an eviction: {error}")))?;
    let job = api.registry.get(&id).await?;
    let group = api.group_meant(&job.spec, eviction.group)?;
    let contender = the_one(&id, &eviction.contender, api.cluster.contenders(&job.spec).await?)?;
    let znode = contender.znode.as_deref().unwrap_or_default();
    api.remove(&format!("{}/{znode}", api.cluster.election(&job.spec))).await?;
    let of_group = group.as_ref().map(GroupRow::to_string);
    warn!(job = %id, contender = contender.identifier, znode, group = of_group, "a contender was removed by an operator");
    Ok(Json(Evicted { contender, group }))
}

impl Api {
    /// A contender's name is never made again, so its deletion may be repeated.
    async fn remove(&self, contender: &str) -> Result<(), ApiError> {
        let session = self.session().await?;
        match repeat(session.as_ref(), || session.delete(contender, None)).await {
            Ok(()) | Err(Error::NoNode { .. }) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }
}

/// The contender that is meant: by its node's name, else by its identifier.
fn the_one(job: &JobId, who: &str, mut queue: Vec<ContenderRow>) -> Result<ContenderRow, ApiError> {
    let shown = cut(who, MAX_SHOWN_BYTES);
    let names = |rows: &[&ContenderRow], name: fn(&ContenderRow) -> &str| {
        let shown = rows.iter().take(MAX_SHOWN_ROWS).map(|row| format!("`{}`", cut(name(row), MAX_SHOWN_BYTES)));
        let more = rows.len().saturating_sub(MAX_SHOWN_ROWS);
        shown.chain((more > 0).then(|| format!("and {more} more"))).collect::<Vec<_>>().join(", ")
    };
    if let Some(at) = queue.iter().position(|row| row.znode.as_deref() == Some(who)) {
        return Ok(queue.swap_remove(at));
    }
    let meant: Vec<&ContenderRow> = queue.iter().filter(|row| row.identifier == who).collect();
    match meant[..] {
        [one] => Ok(one.clone()),
        [] if queue.is_empty() => Err(ApiError::NotFound(format!(
            "`{shown}` does not stand in the election of job `{job}`, and nobody else does"
        ))),
        [] => {
            let all = names(&queue.iter().collect::<Vec<_>>(), |row| &row.identifier);
            Err(ApiError::NotFound(format!("`{shown}` does not stand in the election of job `{job}`, but {all}")))
        }
        [..] => {
            let nodes = names(&meant, |row| row.znode.as_deref().unwrap_or_default());
            let why =
                format!("`{shown}` stands more than once in the election of job `{job}`: name a node, one of {nodes}");
            Err(ApiError::Conflict(why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(identifiers: &[&str]) -> Vec<ContenderRow> {
        let row = |(at, identifier): (usize, &&str)| ContenderRow {
            identifier: (*identifier).to_owned(),
            host: None,
            znode: Some(format!("x__lock__000000000{at}")),
            token: Some(at as i64),
            leader: at == 0,
            problem: None,
        };
        identifiers.iter().enumerate().map(row).collect()
    }

    fn meant(who: &str, identifiers: &[&str]) -> Result<i64, String> {
        let job = JobId::new("acme", "job").unwrap();
        the_one(&job, who, queue(identifiers)).map(|row| row.token.unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn one_contender_is_meant_or_the_error_says_whom_to_choose_from() {
        assert_eq!(meant("k1", &["a", "k1", "b"]), Ok(1));
        assert_eq!(meant("x__lock__0000000002", &["a", "k1", "k1"]), Ok(2));
        let nobody = "`c` does not stand in the election of job `acme/job`, and nobody else does";
        assert_eq!(meant("c", &[]), Err(nobody.to_owned()));
        let others = "`c` does not stand in the election of job `acme/job`, but `a`, `b`";
        assert_eq!(meant("c", &["a", "b"]), Err(others.to_owned()));
        let several = "`k1` stands more than once in the election of job `acme/job`: name a node, one of \
                       `x__lock__0000000001`, `x__lock__0000000002`";
        assert_eq!(meant("k1", &["a", "k1", "k1"]), Err(several.to_owned()));
    }
}
