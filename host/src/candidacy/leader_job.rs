//! The duty of a leader job's term: run the component once, keep its record, and leave the outcome as last words.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use silverback_election::Report;
use tokio::sync::{oneshot, watch};
use tracing::info;

use super::duty::{Duty, Served};
use super::opening::{NotStarted, Opened, open};
use super::queue::for_guests;
use super::term_book::{Begun, TermBook};
use crate::capability::Gate;
use crate::clock::Clock;
use crate::config::Layout;
use crate::history::{History, KEPT_RUNS, Outcome, RunRecord};
use crate::registry::{JobId, JobSpec, Secrets, Tenants, Trigger, settings_of};
use crate::runtime::{End, Interrupt, Prepared, RunEnd, RunRequest, Runtime, StateMode};

/// How long the record of a run's end waits for the release at the most.
const RELEASE_PATIENCE: Duration = Duration::from_secs(1);

/// A leader job on this host.
pub struct LeaderJob {
    /// What it is.
    pub spec: JobSpec,
    /// Its component, ready: a host that can't run it doesn't stand.
    pub component: Arc<Prepared>,
    /// The path of its election.
    pub election: String,
    /// This host's name.
    pub host: String,
    /// Runs it.
    pub runtime: Arc<Runtime>,
    /// Keeps its records.
    pub history: History,
    /// Where things live.
    pub layout: Layout,
    /// Where its secrets are.
    pub secrets: Secrets,
    /// What its tenant may have.
    pub tenants: watch::Receiver<Tenants>,
    /// For its records.
    pub clock: Arc<dyn Clock>,
}

/// The id of the run of a leader job's term.
pub fn leader_run_id(job: &JobId, token: i64) -> String {
    format!("{job}/term-{token}")
}

#[async_trait]
impl Duty for LeaderJob {
    async fn serve(&self, gate: Arc<Gate>) -> Served {
        let lock_delay = self.lock_delay();
        if lock_delay.is_zero() {
            return self.lead(&gate, self.record(&gate), None, None).await;
        }
        let granted = self.clock.boot();
        match open(&self.book(), &gate, &self.clock, granted, lock_delay, || self.record(&gate)).await {
            Ok(Opened { record, begun, waited }) => self.lead(&gate, record, Some(begun), waited).await,
            Err(why) => Served::with(self.not_started(&gate, why)),
        }
    }

    async fn not_begun(&self, gate: &Gate) {
        self.not_started(gate, NotStarted::Ended);
    }
}

impl LeaderJob {
    /// Runs the guest to its end. Where the term's beginning is not written yet, it is while the guest already runs: without a
    /// lock delay a term needs no durable beginning to be safe, and a handover is shorter by a round trip.
    async fn lead(&self, gate: &Arc<Gate>, record: RunRecord, begun: Option<Begun>, waited: Option<String>) -> Served {
        let kept = self.history.begin(&self.spec.id, record.clone(), KEPT_RUNS);
        let run = self.runtime.start(&self.component, self.request(gate, &record, kept.log_sink()));
        let beginning = async {
            match begun {
                Some(begun) => Some(begun),
                None => self.book().write_beginning(gate, &record).await,
            }
        };
        let (end, begun) = tokio::join!(run.ended(), beginning);
        let (outcome, detail) = self.verdict(gate, &end, waited);
        let (ended, usage) = (self.clock.wall(), end.usage);
        let last_words = begun.map(|begun| {
            let record =
                RunRecord { ended: Some(ended), outcome: Some(outcome), detail: detail.clone(), ..record.clone() };
            self.book().last_words(begun, record)
        });
        // The release doesn't wait for the store of records, nor compete with it; a drain waits for both.
        let (released, is_released) = oneshot::channel();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(RELEASE_PATIENCE, is_released).await;
            kept.finish(outcome, &detail, ended, Some(usage)).await;
        });
        Served { report: report(&end), last_words: last_words.into_iter().collect(), released: Some(released) }
    }

    /// A term whose guest never ran leaves a record, and the run state as it was.
    fn not_started(&self, gate: &Gate, why: NotStarted) -> Report {
        let (outcome, detail, report) = match why {
            NotStarted::Stopped { detail } => {
                let ending = gate.ending().map_or_else(String::new, |ending| format!("; the term ended: {ending}"));
                (Outcome::Skipped, format!("the guest was not started: {detail}{ending}"), Report::Stopped)
            }
            NotStarted::Unwritten => {
                let detail = "the guest was not started: the term's beginning can't be written";
                (Outcome::Failed, detail.to_owned(), Report::Failed)
            }
            NotStarted::Ended => {
                let why = gate.ending().map_or_else(|| "its term ended".to_owned(), |ending| ending.to_string());
                (Outcome::Skipped, format!("the guest was not started: {why}"), Report::Stopped)
            }
        };
        info!(job = %self.spec.id, token = gate.token(), detail, "a term's guest was not started");
        let record = self.record(gate);
        let ended = Some(record.started);
        let record = RunRecord { ended, outcome: Some(outcome), detail, ..record };
        self.history.record(&self.spec.id, record, KEPT_RUNS);
        report
    }

    /// The run's verdict, with what is to be said of the term: that it opened late, or why its guest was asked to stop.
    fn verdict(&self, gate: &Gate, end: &RunEnd, waited: Option<String>) -> (Outcome, String) {
        let ending = gate.ending();
        let (outcome, mut detail) = end.verdict(ending);
        let asked = ending.filter(|_| outcome != Outcome::LostLeadership).map(|why| format!("asked to stop: {why}"));
        for remark in asked.into_iter().chain(waited) {
            let space = if detail.is_empty() { "" } else { " " };
            detail = format!("{detail}{space}({remark})");
        }
        (outcome, detail)
    }

    fn lock_delay(&self) -> Duration {
        match &self.spec.trigger {
            Trigger::Leader { rules, .. } => rules.lock_delay(),
            Trigger::Schedule { .. } => Duration::ZERO,
        }
    }

    fn book(&self) -> TermBook<'_> {
        let JobId { tenant, name } = &self.spec.id;
        let path = self.layout.run_state(tenant, name);
        TermBook { job: &self.spec.id, path, history: &self.history, clock: &self.clock }
    }

    fn record(&self, gate: &Gate) -> RunRecord {
        RunRecord {
            run: leader_run_id(&self.spec.id, gate.token()),
            attempt: 1,
            tick: None,
            host: self.host.clone(),
            token: gate.token(),
            started: self.clock.wall(),
            ended: None,
            outcome: None,
            detail: String::new(),
            usage: None,
        }
    }

    fn request(&self, gate: &Arc<Gate>, record: &RunRecord, log: crate::history::LogSink) -> RunRequest {
        let JobId { tenant, name } = &self.spec.id;
        let settings = settings_of(&self.tenants.borrow(), tenant);
        RunRequest {
            job: self.spec.id.clone(),
            run: record.run.clone(),
            attempt: record.attempt,
            tick_ms: None,
            gate: gate.clone(),
            state_path: self.layout.state(tenant, name),
            state_mode: StateMode::Immediate,
            config: self.spec.config.clone(),
            secrets: self.secrets.of(&self.spec, gate.session()),
            http: self.spec.http.clone(),
            private: settings.private,
            max_requests: settings.max_requests,
            limits: self.spec.limits.of_run(false, &settings.limits),
            log,
            interrupt: Interrupt::default(),
            contenders: for_guests(gate.session().clone(), self.election.clone()),
        }
    }
}

fn report(end: &RunEnd) -> Report {
    match end.end {
        End::Returned(_) => Report::Done,
        End::Failed { .. } | End::Trapped { .. } | End::TimedOut { .. } => Report::Failed,
        End::LostLeadership | End::Killed => Report::Stopped,
    }
}
