//! The coming ticks of a job: what its schedule says, whether it is paused or not.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::jobs::{Named, id};
use super::{Api, ApiError, ComingTick};
use crate::registry::{Schedule, Trigger};

/// How many ticks are given unless asked for more, and at the most.
const DEFAULT_TICKS: usize = 10;
const MAX_TICKS: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HowMany {
    #[serde(default = "default_ticks")]
    n: usize,
}

fn default_ticks() -> usize {
    DEFAULT_TICKS
}

/// The coming ticks, the next one first.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    path: Named,
    how_many: Result<Query<HowMany>, QueryRejection>,
) -> Result<Json<Vec<ComingTick>>, ApiError> {
    let (id, Query(how_many)) = (id(path)?, how_many?);
    let job = api.registry.get(&id).await?;
    match &job.spec.trigger {
        Trigger::Leader { .. } => {
            Err(ApiError::Conflict(format!("job `{id}` has no schedule: its trigger is `leader`")))
        }
        Trigger::Schedule { times, .. } => {
            let schedule = Schedule::parse(times, Some(&id)).map_err(|error| ApiError::Internal(error.to_string()))?;
            let state = api.run_state(&*api.session().await?, &id).await?;
            let (now, count) = (api.undecided_from(&state), how_many.n.min(MAX_TICKS));
            // A moment's work for each, which may be a second for all.
            let coming = tokio::task::spawn_blocking(move || schedule.forecast(now, count)).await;
            let coming = coming.map_err(|error| ApiError::Internal(error.to_string()))?;
            Ok(Json(coming.into_iter().map(ComingTick::from).collect()))
        }
    }
}
