//! Keeps one job's schedule for as long as its group is led here.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, warn};

use super::due::{Due, Earlier, due};
use super::finish::finish;
use super::group::Scheduling;
use super::ledger::{Ledger, Setback, setback};
use crate::candidacy::for_guests;
use crate::capability::Gate;
use crate::coordinator::Op;
use crate::history::{LogSink, Outcome, RunRecord, RunState, Running};
use crate::registry::{Job, JobId, Schedule, Trigger};
use crate::runtime::{ComponentError, Interrupt, Prepared, RunEnd, RunRequest, StateMode};

/// The longest sleep between two looks at the wall clock, which may be set meanwhile.
const MAX_SLEEP: Duration = Duration::from_secs(30);
/// Between two tries after a setback.
const PAUSE: Duration = Duration::from_secs(1);

/// Why ticks before the latest are skipped: those from before this host kept the job, and those since.
const LEADERLESS: &str = "no host led the job's group then, and a later tick has come";
const HELD_UP: &str = "the host that leads the job's group was held up, and a later tick has come";
const OVERLAPPED: &str = "the run before was still under way";

/// Whether a keeper should go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retire {
    /// It should.
    No,
    /// Its job has changed: end after the run under way.
    AfterRun,
    /// Its job is deleted: stop the run and end.
    Now,
}

/// Run now.
#[derive(Debug)]
pub struct Order {
    /// Told the run's id once it is begun.
    pub answer: oneshot::Sender<Result<String, TriggerError>>,
}

/// Why a job is not run now.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TriggerError {
    /// Another host leads the job's group.
    #[error("this host does not lead the job's group")]
    NotHere,
    /// It runs already, and runs of a job don't overlap.
    #[error("a run of this job is under way")]
    UnderWay,
    /// It can't be begun.
    #[error("the run can't be begun: {0}")]
    Refused(String),
}

/// One job of a led group.
pub(super) struct Keeper {
    scheduling: Arc<Scheduling>,
    gate: Arc<Gate>,
    job: Arc<Job>,
    retired: watch::Receiver<Retire>,
    since: Timestamp,
}

/// What the keeper waits for between two runs.
enum Wake {
    /// Look at the clock again.
    Clock,
    /// An order to run now.
    Order(Order),
    /// The keeper ends.
    End,
}

impl Keeper {
    pub(super) fn new(
        scheduling: Arc<Scheduling>,
        gate: Arc<Gate>,
        job: Arc<Job>,
        retired: watch::Receiver<Retire>,
    ) -> Self {
        let since = scheduling.now();
        Keeper { scheduling, gate, job, retired, since }
    }

    /// Until the job changes or the group is led elsewhere. Gives the job's name back.
    pub(super) async fn keep(self) -> JobId {
        let id = self.job.spec.id.clone();
        let (orders, mut received) = mpsc::channel(1);
        self.kept().insert(id.clone(), orders.clone());
        while !self.over() {
            match self.try_keep(&mut received).await {
                Ok(()) => {}
                // What this host knows of the job, or of its own leadership, lags behind by a moment.
                Err(setback @ (Setback::Lost | Setback::Unknown | Setback::JobChanged | Setback::StateChanged)) => {
                    debug!(job = %id, %setback, "a schedule can't be kept now, trying again");
                    self.pause().await;
                }
                Err(Setback::Refused(error)) => {
                    warn!(job = %id, %error, "a schedule can't be kept, trying again");
                    self.pause().await;
                }
            }
        }
        let mut kept = self.kept();
        if kept.get(&id).is_some_and(|now| now.same_channel(&orders)) {
            kept.remove(&id);
        }
        drop(kept);
        id
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, std::collections::HashMap<JobId, mpsc::Sender<Order>>> {
        self.scheduling.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn over(&self) -> bool {
        self.gate.is_over() || *self.gate.stop_asked().borrow() || *self.retired.borrow() != Retire::No
    }

    /// Returns when this keeper should end.
    async fn ending(&self) {
        let (mut stop, mut retired) = (self.gate.stop_asked(), self.retired.clone());
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            _ = retired.wait_for(|retire| *retire != Retire::No) => {}
        }
    }

    async fn pause(&self) {
        tokio::select! {
            () = self.ending() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }

    /// Returns when the keeper should end, or has to begin anew from what the coordinator has.
    async fn try_keep(&self, orders: &mut mpsc::Receiver<Order>) -> Result<(), Setback> {
        let Some(schedule) = self.schedule() else { return Err(Setback::JobChanged) };
        let id = &self.job.spec.id;
        let path = self.scheduling.layout.run_state(&id.tenant, &id.name);
        let mut ledger = Ledger::load(self.gate.clone(), path).await?;
        self.take_over(&mut ledger, &schedule).await?;
        while !self.over() {
            let now = self.scheduling.now();
            let cursor = ledger.state().cursor.unwrap_or(now);
            match due(&schedule, cursor, now) {
                Some(due) => self.tick(&mut ledger, due, orders, &schedule).await?,
                None => match self.wait(schedule.next_after(cursor).map(|tick| schedule.begins(tick)), orders).await {
                    Wake::Clock => {}
                    Wake::Order(order) => self.ordered(&mut ledger, order, orders, &schedule).await?,
                    Wake::End => return Ok(()),
                },
            }
        }
        Ok(())
    }

    fn schedule(&self) -> Option<Schedule> {
        match &self.job.spec.trigger {
            Trigger::Schedule { times, .. } => Schedule::parse(times, Some(&self.job.spec.id)).ok(),
            Trigger::Leader { .. } => None,
        }
    }

    /// What this keeper finds: a run that was begun and never finished, by an earlier term or by this one before a setback, is
    /// unknown (and never run again); a job that is new or was changed ticks from its change on, not before
    /// (kubernetes#63371).
    async fn take_over(&self, ledger: &mut Ledger, schedule: &Schedule) -> Result<(), Setback> {
        let changed = schedule.cursor_at(self.changed_at().await?);
        let mut next = ledger.state().clone();
        next.cursor = Some(next.cursor.map_or(changed, |cursor| cursor.max(changed)));
        let abandoned = next.take_abandoned(self.scheduling.now());
        if next != *ledger.state() {
            ledger.commit(next, Some(&self.unchanged()), &[]).await?;
        }
        if let Some(abandoned) = abandoned {
            self.scheduling.history.close_abandoned(&self.job.spec.id, abandoned);
        }
        Ok(())
    }

    /// When the job was last changed, by the ensemble's clock. A job of the same name and version that was made after this one
    /// was deleted is another.
    async fn changed_at(&self) -> Result<Timestamp, Setback> {
        let stat = self.gate.session().stat(&self.job_path()).await.map_err(setback)?;
        let stat = stat.filter(|stat| stat.mzxid == self.job.mzxid).ok_or(Setback::JobChanged)?;
        Timestamp::from_millisecond(stat.mtime_ms).map_err(|_| Setback::JobChanged)
    }

    fn job_path(&self) -> String {
        self.scheduling.layout.job(&self.job.spec.id.tenant, &self.job.spec.id.name)
    }

    /// The condition of every begin: the job is as it was when this keeper was started.
    fn unchanged(&self) -> Op {
        Op::Check { path: self.job_path(), version: Some(self.job.version) }
    }

    async fn wait(&self, next: Option<Timestamp>, orders: &mut mpsc::Receiver<Order>) -> Wake {
        let nap = nap(next, self.scheduling.now());
        tokio::select! {
            biased;
            () = self.ending() => Wake::End,
            Some(order) = orders.recv() => Wake::Order(order),
            () = tokio::time::sleep(nap) => Wake::Clock,
        }
    }

    /// The job's component, or why it can't be had; None where the keeper should end first.
    async fn component(&self) -> Option<Result<Arc<Prepared>, ComponentError>> {
        tokio::select! {
            biased;
            () = self.ending() => None,
            component = self.scheduling.components.prepared(&self.job.spec.component) => Some(component),
        }
    }

    // ---- one tick ----

    async fn tick(
        &self,
        ledger: &mut Ledger,
        due: Due,
        orders: &mut mpsc::Receiver<Order>,
        schedule: &Schedule,
    ) -> Result<(), Setback> {
        let Some(component) = self.component().await else { return Ok(()) };
        let missed = self.skips(&due.earlier, |tick| if tick < self.since { LEADERLESS } else { HELD_UP });
        let mut next = ledger.state().clone();
        next.cursor = Some(due.tick);
        missed.iter().for_each(|record| next.push(record.clone()));
        let component = match component {
            Ok(component) => component,
            Err(error) => {
                let skip = self.skip(due.tick, error.to_string());
                next.push(skip.clone());
                ledger.commit(next, Some(&self.unchanged()), &[]).await?;
                self.keep_records(missed.into_iter().chain([skip]));
                return Ok(());
            }
        };
        let record = self.record(self.tick_id(due.tick), Some(due.tick));
        self.begin(ledger, next, &record).await?;
        self.keep_records(missed);
        self.run(ledger, record, &component, orders).await?;
        self.skip_overlapped(ledger, schedule).await
    }

    async fn ordered(
        &self,
        ledger: &mut Ledger,
        order: Order,
        orders: &mut mpsc::Receiver<Order>,
        schedule: &Schedule,
    ) -> Result<(), Setback> {
        let component = match self.component().await {
            Some(Ok(component)) => component,
            Some(Err(error)) => {
                let _ = order.answer.send(Err(TriggerError::Refused(error.to_string())));
                return Ok(());
            }
            None => return Ok(()),
        };
        let id = format!("{}/manual-{:.3}", self.job.spec.id, self.scheduling.now());
        let record = self.record(id.clone(), None);
        if let Err(setback) = self.begin(ledger, ledger.state().clone(), &record).await {
            let _ = order.answer.send(Err(TriggerError::Refused(setback.to_string())));
            return Err(setback);
        }
        let _ = order.answer.send(Ok(id));
        self.run(ledger, record, &component, orders).await?;
        self.skip_overlapped(ledger, schedule).await
    }

    /// Durable before the guest starts. Where the term is over by the time of the answer, the runtime starts nothing, and
    /// the run ends as one that lost its leadership.
    async fn begin(&self, ledger: &mut Ledger, mut next: RunState, record: &RunRecord) -> Result<(), Setback> {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        next.running = Some(Running { record: record.clone(), nonce });
        ledger.commit(next, Some(&self.unchanged()), &[]).await
    }

    /// Runs the guest, then commits its outcome and, where it succeeded, its state writes.
    async fn run(
        &self,
        ledger: &mut Ledger,
        mut record: RunRecord,
        component: &Arc<Prepared>,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Result<(), Setback> {
        let kept = self.scheduling.history.begin(&self.job.spec.id, record.clone());
        let end = self.execute(&record, component, kept.log_sink(), orders).await;
        let (outcome, detail) = end.verdict(self.gate.ending());
        let ended = self.scheduling.now();
        record.ended = Some(ended);
        let writes = if outcome == Outcome::Succeeded { end.writes.as_slice() } else { &[] };
        let (finished, outcome, detail) = finish(ledger, record, outcome, detail, writes).await;
        // The schedule doesn't wait for the store of records; a drain does.
        tokio::spawn(async move { kept.finish(outcome, &detail, ended).await });
        finished
    }

    async fn execute(
        &self,
        record: &RunRecord,
        component: &Arc<Prepared>,
        log: LogSink,
        orders: &mut mpsc::Receiver<Order>,
    ) -> RunEnd {
        let interrupt = Interrupt::default();
        let request = self.request(record, log, interrupt.clone());
        let run = self.scheduling.components.runtime().start(component, request);
        let mut retired = self.retired.clone();
        let mut ended = Box::pin(run.ended());
        loop {
            tokio::select! {
                end = &mut ended => return end,
                Ok(_) = retired.wait_for(|retire| *retire == Retire::Now), if !*interrupt.killed().borrow() => interrupt.kill(),
                Some(order) = orders.recv() => {
                    let _ = order.answer.send(Err(TriggerError::UnderWay));
                }
            }
        }
    }

    fn request(&self, record: &RunRecord, log: LogSink, interrupt: Interrupt) -> RunRequest {
        let spec = &self.job.spec;
        RunRequest {
            job: spec.id.clone(),
            run: record.run.clone(),
            attempt: record.attempt,
            tick_ms: record.tick.map(|tick| tick.as_millisecond().unsigned_abs()),
            gate: self.gate.clone(),
            state_path: self.scheduling.layout.state(&spec.id.tenant, &spec.id.name),
            state_mode: StateMode::Buffered,
            config: spec.config.clone(),
            http: spec.http.clone(),
            limits: spec.limits,
            log,
            interrupt,
            contenders: for_guests(self.gate.session().clone(), election_of(self.gate.contender())),
        }
    }

    /// Runs of a job don't overlap: the ticks that came during the run are skipped, and said so.
    async fn skip_overlapped(&self, ledger: &mut Ledger, schedule: &Schedule) -> Result<(), Setback> {
        let now = self.scheduling.now();
        let cursor = ledger.state().cursor.unwrap_or(now);
        let Some(due) = due(schedule, cursor, now) else { return Ok(()) };
        let mut skipped = self.skips(&due.earlier, |_| OVERLAPPED);
        skipped.push(self.skip(due.tick, OVERLAPPED.to_owned()));
        let mut next = ledger.state().clone();
        next.cursor = Some(due.tick);
        skipped.iter().for_each(|record| next.push(record.clone()));
        ledger.commit(next, Some(&self.unchanged()), &[]).await?;
        self.keep_records(skipped);
        Ok(())
    }

    // ---- records ----

    fn tick_id(&self, tick: Timestamp) -> String {
        format!("{}/{tick}", self.job.spec.id)
    }

    fn record(&self, run: String, tick: Option<Timestamp>) -> RunRecord {
        RunRecord {
            run,
            attempt: 1,
            tick,
            host: self.scheduling.host.clone(),
            token: self.gate.token(),
            started: self.scheduling.now(),
            ended: None,
            outcome: None,
            detail: String::new(),
        }
    }

    fn skip(&self, tick: Timestamp, reason: String) -> RunRecord {
        let record = self.record(self.tick_id(tick), Some(tick));
        RunRecord { ended: Some(record.started), outcome: Some(Outcome::Skipped), detail: reason, ..record }
    }

    fn skips(&self, earlier: &Earlier, reason: impl Fn(Timestamp) -> &'static str) -> Vec<RunRecord> {
        match earlier {
            Earlier::Single(ticks) => ticks.iter().map(|tick| self.skip(*tick, reason(*tick).to_owned())).collect(),
            Earlier::Span { first, before } => {
                let reason = reason(*first);
                vec![self.skip(*first, format!("all ticks from {first} until before {before}: {reason}"))]
            }
        }
    }

    fn keep_records(&self, records: impl IntoIterator<Item = RunRecord>) {
        for record in records {
            debug!(job = %self.job.spec.id, run = record.run, detail = record.detail, "a tick is skipped");
            self.scheduling.history.record(&self.job.spec.id, record);
        }
    }
}

/// The election's path, of a contender's.
fn election_of(contender: &str) -> String {
    contender.rsplit_once('/').map_or_else(String::new, |(election, _)| election.to_owned())
}

/// How long nothing is due: until the next tick, which may have come since it was computed.
pub(super) fn nap(next: Option<Timestamp>, now: Timestamp) -> Duration {
    let until = next.map(|next| Duration::try_from(next.duration_since(now)).unwrap_or(Duration::ZERO));
    until.unwrap_or(MAX_SLEEP).min(MAX_SLEEP)
}
