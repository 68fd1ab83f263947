//! What a job's runs said, whichever host ran them; with `wait`, a long poll.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use futures::future::{self, BoxFuture, FutureExt};
use serde::Deserialize;

use super::jobs::{Named, id};
use super::{Api, ApiError, LogPage};
use crate::config::HostInfo;
use crate::history::{Cursor, PlacedLine};
use crate::registry::JobId;

/// How many lines are given unless asked for more, and at the most.
const DEFAULT_LINES: usize = 1000;
const MAX_LINES: usize = 5000;
/// The longest poll.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// A host that appears later is read from so long before the first answer: clocks differ. In nanoseconds.
const JOINED_NS: u64 = 60_000_000_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// A cursor; without it, the newest lines.
    after: Option<String>,
    /// How long to wait for a line where there is none, in seconds.
    #[serde(default)]
    wait: u64,
    #[serde(default = "default_lines")]
    limit: usize,
    /// True: the lines in this host's store alone.
    #[serde(default)]
    local: bool,
    /// True with `local`: only this host's own lines, because whoever asks reads the same store.
    #[serde(default)]
    shared: bool,
}

fn default_lines() -> usize {
    DEFAULT_LINES
}

/// One question, as it goes to each host.
struct Question {
    job: JobId,
    after: Option<Cursor>,
    limit: usize,
    local: bool,
    shared: bool,
}

/// Some of a job's log, by time.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    path: Named,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<LogPage>, ApiError> {
    let (job, Query(which)) = (id(path)?, which?);
    let after = which.after.map(|cursor| cursor.parse::<Cursor>()).transpose();
    let after = after.map_err(|error| ApiError::Invalid(error.to_string()))?;
    let limit = which.limit.clamp(1, MAX_LINES);
    let question = Question { job, after, limit, local: which.local, shared: which.shared };
    let deadline = api.clock.boot() + Duration::from_secs(which.wait).min(MAX_WAIT);
    loop {
        let page = api.page(&question).await?;
        if !page.lines.is_empty() {
            return Ok(Json(page));
        }
        if !question.local {
            // The log of a deleted job stays readable; a job that never was is an error.
            api.registry.get(&question.job).await?;
        }
        let left = deadline.saturating_sub(api.clock.boot());
        if left.is_zero() {
            return Ok(Json(page));
        }
        api.wait_for_line(&question, left).await?;
        if *api.closing.borrow() {
            return Ok(Json(page));
        }
    }
}

impl Api {
    async fn page(&self, question: &Question) -> Result<LogPage, ApiError> {
        let Question { job, after, limit, local, shared } = question;
        let mut cursor =
            after.clone().unwrap_or_else(|| Cursor::from_stamp(self.history.now().saturating_sub(JOINED_NS)));
        let mut lines = self.history.own_lines(job, after.as_ref().map(|after| after.of(&self.host)), *limit).await?;
        let peers = if *local { Vec::new() } else { self.peers.others().await? };
        for found in future::join_all(peers.iter().map(|peer| self.peer_lines(peer, question))).await {
            lines.extend(found?);
        }
        if !shared {
            for host in self.untold_hosts(job, &peers).await? {
                lines.extend(self.stored_lines(&host, question).await?);
            }
        }
        let place = |line: &PlacedLine| (line.line.time, line.host.clone(), line.stamp);
        lines.sort_by_key(place);
        // Two peers may read one store that this host doesn't.
        lines.dedup_by_key(|line| place(line));
        match after {
            Some(_) => lines.truncate(*limit),
            None => drop(lines.drain(..lines.len().saturating_sub(*limit))),
        }
        for line in &lines {
            cursor.read(&line.host, line.stamp);
        }
        Ok(LogPage { lines, cursor: cursor.to_string() })
    }

    /// A live peer's lines, from the store if it doesn't answer.
    async fn peer_lines(&self, peer: &HostInfo, question: &Question) -> Result<Vec<PlacedLine>, ApiError> {
        let path = question.to_peer(self.local_query(peer).await, Duration::ZERO);
        match self.peers.get::<LogPage>(peer, &path, Duration::ZERO).await {
            Ok(page) => Ok(page.lines),
            Err(error) => {
                tracing::warn!(peer = %peer.host, %error, "a peer can't be asked for its log");
                self.stored_lines(&peer.host, question).await
            }
        }
    }

    async fn stored_lines(&self, host: &str, question: &Question) -> Result<Vec<PlacedLine>, ApiError> {
        let after = question.after.as_ref().map(|after| after.of(host));
        Ok(self.history.stored_lines(&question.job, host, after, question.limit).await?)
    }

    /// Returns after `wait`, when the API closes, or when any live host has a line.
    async fn wait_for_line(&self, question: &Question, wait: Duration) -> Result<(), ApiError> {
        let own_after = question.after.as_ref().map_or(0, |after| after.of(&self.host));
        let peers = if question.local { Vec::new() } else { self.peers.others().await? };
        let mut closing = self.closing.subscribe();
        let own: BoxFuture<'_, ()> = self.history.line_after(&question.job, own_after).boxed();
        let theirs = peers.iter().map(|peer| {
            let asked = async move {
                let path = question.to_peer(self.local_query(peer).await, wait);
                let polled = self.peers.get::<LogPage>(peer, &path, wait).await;
                if polled.is_err() {
                    // Its silence is noticed by the next look, not by asking without end.
                    future::pending::<()>().await;
                }
            };
            asked.boxed()
        });
        let any = future::select_all(theirs.chain([own]));
        tokio::select! {
            _ = any => {}
            () = tokio::time::sleep(wait) => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
        Ok(())
    }
}

impl Question {
    /// The path that asks a peer; `local` is the part of the query that says how much of its store is wanted.
    fn to_peer(&self, local: &str, wait: Duration) -> String {
        let Question { job, after, limit, local: _, shared: _ } = self;
        let after = after.as_ref().map(|after| format!("&after={after}")).unwrap_or_default();
        // Rounded up: a peer that gave up before us would be asked again at once.
        let wait = wait.as_millis().div_ceil(1000);
        format!("/v1/jobs/{job}/logs?{local}&limit={limit}&wait={wait}{after}")
    }
}
