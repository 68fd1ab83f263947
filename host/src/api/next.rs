//! The coming ticks of a job: what its schedule says, whether it is paused or not.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::jobs::{Named, id};
use super::{Api, ApiError, ComingTick};

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
    let state = api.run_state(&*api.session().await?, &id).await?;
    let (from, count) = (api.undecided_from(&state), how_many.n.min(MAX_TICKS));
    let coming = api.compute(move || Some(job.spec.schedule()?.map(|schedule| schedule.forecast(from, count)))).await?;
    match coming {
        Some(Ok(coming)) => Ok(Json(coming.into_iter().map(ComingTick::from).collect())),
        Some(Err(refused)) => Err(ApiError::Conflict(format!("job `{id}` doesn't tick: {refused}"))),
        None => Err(ApiError::Conflict(format!("job `{id}` has no schedule: its trigger is `leader`"))),
    }
}
