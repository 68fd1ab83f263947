//! Starts guests, stops them, and writes how they ended.

use jiff::Timestamp;

use super::Keeper;
use super::writes::{End, Then};
use crate::candidacy::for_guests;
use crate::history::{Outcome, RunHandle, RunRecord};
use crate::runtime::{self, Interrupt, RunEnd, RunRequest, StateMode};
use crate::scheduler::desk::{Desk, Event};
use crate::scheduler::plan::{self, Begin, Phase, StopReason};
use crate::scheduler::runner::Start;
use crate::scheduler::turns::Turn;

/// A run that is under way here.
pub(super) struct Live {
    pub(super) kept: RunHandle,
    nonce: u32,
    interrupt: Interrupt,
    stopped: Option<StopReason>,
    /// The host has room for another when this is gone.
    _turn: Turn,
}

/// A run that has ended, and how is not written yet.
pub(super) struct Ended {
    live: Live,
    end: RunEnd,
    at: Timestamp,
}

impl Live {
    pub(super) fn kill(&self) {
        self.interrupt.kill();
    }
}

impl Keeper {
    /// What is begun is durable: the guest starts. Where the term is over by now, the runtime starts nothing, and the run
    /// ends as one that lost its leadership. Gives the run's id.
    pub(super) fn begin(&mut self, begin: Begin, start: &Start, mut turn: Turn, desk: &mut Desk) -> String {
        turn.used();
        let at = self.state.begun(begin.nonce).map_or(Timestamp::MIN, |active| match active.phase {
            Phase::Begun { at, .. } => at,
            Phase::Waiting { until } => until,
        });
        let record = self.scribe(desk).begun(&begin.of, begin.attempt, at);
        let run = record.run.clone();
        let kept = desk.scheduling.history.begin(self.id(), record.clone(), self.kept_runs());
        let interrupt = Interrupt::default();
        let ended = start(self.request(record, &kept, interrupt.clone(), desk));
        let nonce = begin.nonce;
        desk.wait_for(self.key, async move { Event::Ended { nonce, end: ended.await } });
        self.live.push(Live { kept, nonce, interrupt, stopped: None, _turn: turn });
        if self.retire == super::Retire::Now {
            self.live.iter().for_each(Live::kill);
        }
        run
    }

    fn request(&self, record: RunRecord, kept: &RunHandle, interrupt: Interrupt, desk: &Desk) -> RunRequest {
        let spec = &self.job.spec;
        let settings = desk.scheduling.turns.settings(&spec.id.tenant);
        RunRequest {
            job: spec.id.clone(),
            run: record.run,
            attempt: record.attempt,
            tick_ms: record.tick.map(|tick| tick.as_millisecond().unsigned_abs()),
            gate: desk.gate.clone(),
            state_path: desk.scheduling.layout.state(&spec.id.tenant, &spec.id.name),
            state_mode: StateMode::Buffered,
            config: spec.config.clone(),
            secrets: desk.scheduling.secrets.of(spec, desk.gate.session()),
            http: spec.http.clone(),
            private: settings.private,
            max_requests: settings.max_requests,
            limits: spec.limits.of_run(true, &settings.limits),
            log: kept.log_sink(),
            interrupt,
            contenders: for_guests(desk.gate.session().clone(), election_of(desk.gate.contender())),
        }
    }

    /// Those under way here, and those whose end is still to be written.
    pub(super) fn nonces(&self) -> Vec<u32> {
        let ended = self.ended.iter().map(|ended| ended.live.nonce);
        self.live.iter().map(|live| live.nonce).chain(ended).collect()
    }

    /// Stops a run for a reason of the plan's.
    pub(super) fn stop(&mut self, nonce: u32, why: StopReason) {
        self.term.stopping.push(nonce);
        if let Some(live) = self.live.iter_mut().find(|live| live.nonce == nonce) {
            live.stopped = Some(why);
            live.kill();
        }
    }

    /// A run has ended.
    pub(super) fn run_ended(&mut self, nonce: u32, end: RunEnd, desk: &Desk) {
        self.term.stopping.retain(|stopping| *stopping != nonce);
        if let Some(at) = self.live.iter().position(|live| live.nonce == nonce) {
            let live = self.live.remove(at);
            self.ended.push_back(Ended { live, end, at: desk.now() });
        }
    }

    /// Commits how a run ended and, where it succeeded, its state writes.
    pub(super) fn write_end(&mut self, ended: Ended, desk: &mut Desk) {
        let (plan_end, end) = ended.verdict(desk);
        self.write_as(plan_end, end, desk);
    }

    /// Its state writes were refused: it failed.
    pub(super) fn write_refused_end(&mut self, end: End, desk: &mut Desk) {
        self.write_as(plan::End::Failed { retryable: false }, end, desk);
    }

    fn write_as(&mut self, plan_end: plan::End, end: End, desk: &mut Desk) {
        let nonce = end.live.nonce;
        let decision = plan::ended(&self.state, &self.rules(), &self.term, nonce, plan_end, &end.detail, end.ended);
        match decision {
            Some(decision) => self.write(decision, Then::End(Box::new(end)), desk),
            None => end.unheard(),
        }
    }
}

impl Ended {
    /// Nothing waits for how it ended.
    pub(super) fn unheard(self, desk: &Desk) {
        self.verdict(desk).1.unheard();
    }

    fn verdict(self, desk: &Desk) -> (plan::End, End) {
        let Ended { live, end, at } = self;
        let (outcome, detail) = end.verdict(desk.gate.ending());
        let (plan_end, outcome, detail) = match (&end.end, live.stopped) {
            (runtime::End::Killed, Some(StopReason::Superseded)) => {
                (plan::End::Cancelled, outcome, "stopped: a later tick took its place".to_owned())
            }
            (runtime::End::Killed, Some(StopReason::Overdue)) => {
                (plan::End::TimedOut, Outcome::TimedOut, "stopped: it ran past its deadline".to_owned())
            }
            (runtime::End::Killed, None) => (plan::End::Cancelled, outcome, detail),
            (runtime::End::Returned(_), _) => (plan::End::Succeeded, outcome, detail),
            (runtime::End::Failed { retryable, .. }, _) => {
                (plan::End::Failed { retryable: *retryable }, outcome, detail)
            }
            (runtime::End::Trapped { .. }, _) => (plan::End::Failed { retryable: false }, outcome, detail),
            (runtime::End::TimedOut { .. }, _) => (plan::End::TimedOut, outcome, detail),
            (runtime::End::LostLeadership, _) => (plan::End::LostLeadership, outcome, detail),
        };
        let writes = if outcome == Outcome::Succeeded { end.writes } else { Vec::new() };
        (plan_end, End { live, outcome, detail, ended: at, usage: end.usage, writes })
    }
}

impl End {
    /// It was settled otherwise, its job is gone, or the term: its record says what it came to.
    fn unheard(self) {
        let (outcome, detail) = match self.outcome {
            Outcome::Succeeded => (
                Outcome::Failed,
                "it ended as `succeeded`, and nothing of it was kept: it was settled before".to_owned(),
            ),
            other => (other, self.detail.clone()),
        };
        End { outcome, detail, ..self }.tell();
    }
}

/// The election's path, of a contender's.
fn election_of(contender: &str) -> String {
    contender.rsplit_once('/').map_or_else(String::new, |(election, _)| election.to_owned())
}
