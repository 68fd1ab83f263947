//! Years of a job's life in a moment: the scheduler's core, driven by a host that dies at every step of begin, run and finish,
//! and judged by the oracle. A run is decided by its seed alone.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use silverback::history::Outcome;
use silverback::registry::{JobId, Policies, PolicySpec, Schedule, ScheduleSpec};
use silverback::scheduler::plan::{
    Active, Answer, Begin, Changed, Decision, End, Holder, JobState, MAX_STATE_BYTES, Occasion, Phase, Reason, Rules,
    Skip, Skipped, Step, Term, Turn, changed, ended, next_step, taken_over,
};

use super::{Promise, Ran, Report, Seen, judge};
use crate::chance::Chance;

const RUN_TIME: Duration = Duration::from_secs(60);
/// The longest time without a host, but for the long outages.
const SHORT_OUTAGE: usize = 40;
const LONG_OUTAGE: usize = 20_000;

/// How a world is.
#[derive(Clone, Copy, Debug)]
pub(super) struct World {
    pub(super) schedule: &'static str,
    pub(super) policies: PolicySpec,
    /// How long it is watched.
    pub(super) hours: i64,
    /// A host dies in one of so many steps; 0 for never.
    pub(super) crash_in: usize,
    /// By how many seconds each host's clock may be wrong, either way.
    pub(super) skew: i64,
    /// What is broken in it.
    pub(super) sabotage: Option<Sabotage>,
}

/// A scheduler that is broken on purpose, to see that the oracle finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// Who takes over looks an hour further back.
    CursorSetBack,
    /// Who takes over begins with the next tick.
    CursorSetToNow,
    /// Retries are in the host's memory.
    RetriesForgotten,
    /// The queue is in the host's memory.
    QueueForgotten,
    /// Runs that were begun are no concern of who takes over.
    RunsForgotten,
    /// Who takes over begins what was lost again, also at most once.
    LostRunsBegunAgain,
    /// A tick is skipped as if a run were under way.
    SkippedInIdleness,
    /// A tick is skipped as if its component could not be had.
    RefusedForNothing,
    /// A run begins a second before its tick.
    ClockAhead,
}

/// What came of it.
pub(super) struct Lived {
    pub(super) report: Report,
    /// How often the guest was really started, by tick.
    pub(super) starts: BTreeMap<Timestamp, u32>,
    /// What the runs wrote: one is added in each finish of one that succeeded.
    pub(super) counter: usize,
    pub(super) seen: Vec<Seen>,
    pub(super) crashes: usize,
}

/// A run as its host has it.
struct Live {
    nonce: u32,
    begin: Begin,
    ends: Timestamp,
    end: End,
}

/// A run that ended, for the records.
struct Ended {
    /// Its tick and attempt.
    of: (Timestamp, u32),
    outcome: Outcome,
    retryable: Option<bool>,
    at: Timestamp,
}

/// A host that keeps the job.
struct Host {
    term: Term,
    live: Vec<Live>,
    skew: SignedDuration,
    /// Since when it waits for a turn.
    asked: Option<Timestamp>,
}

/// What a crash left of a step.
struct Crash;

struct Life<'a> {
    world: World,
    rules: Rules<'a>,
    chance: Chance,
    /// By no host's clock.
    now: Timestamp,
    /// The node.
    node: Vec<u8>,
    counter: usize,
    seen: Vec<Seen>,
    starts: BTreeMap<Timestamp, u32>,
    nonce: u32,
    token: i64,
    crashes: usize,
}

pub(super) fn live(world: World, chance: Chance) -> Lived {
    let job = JobId::new("acme", "nightly").unwrap();
    let schedule = Schedule::parse(&ScheduleSpec { jitter_ms: 700, ..ScheduleSpec::new(world.schedule) }, Some(&job));
    let schedule = schedule.unwrap();
    let policies = Policies::parse(&world.policies, "nightly").unwrap();
    let rules = Rules { schedule: &schedule, policies: &policies, run_time: RUN_TIME };
    let from: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut life = Life {
        world,
        rules,
        chance,
        now: from,
        node: Vec::new(),
        counter: 0,
        seen: Vec::new(),
        starts: BTreeMap::new(),
        nonce: 0,
        token: 0,
        crashes: 0,
    };
    let until = from + SignedDuration::from_hours(world.hours);
    while life.now < until {
        let Err(Crash) = life.term(until) else { break };
        life.crashes += 1;
        life.outage();
    }
    // The last word on everything: a host that doesn't die.
    life.world.crash_in = 0;
    let patience = SignedDuration::from_secs(LONG_OUTAGE as i64 + 3600);
    let _ = life.term(life.now.max(until) + patience);
    let promise = Promise {
        schedule: &schedule,
        policies: &policies,
        run_time: RUN_TIME,
        from: schedule.cursor_at(from),
        changed: schedule.cursor_at(from),
        until,
        // Who takes over may die at once, and the next outage be long too.
        end_within: SignedDuration::from_secs(5 * LONG_OUTAGE as i64),
        skew: SignedDuration::from_secs(2 * world.skew + 1),
    };
    let report = judge(&promise, &life.seen);
    Lived { report, starts: life.starts, counter: life.counter, seen: life.seen, crashes: life.crashes }
}

impl Life<'_> {
    /// One host's term, until it dies or the time is up.
    fn term(&mut self, until: Timestamp) -> Result<(), Crash> {
        self.token += 1;
        let wrong = self.chance.below(2 * self.world.skew as usize + 1) as i64 - self.world.skew;
        let skew = SignedDuration::from_secs(wrong);
        let holder = Holder { host: format!("h{}", self.token), token: self.token };
        let mut host = Host {
            term: Term { holder, since: self.now + skew, stopping: Vec::new() },
            live: Vec::new(),
            skew,
            asked: None,
        };
        self.take_over(&mut host)?;
        while self.now < until {
            self.resume(&mut host)?;
            let (state, now) = (self.state(), self.now + host.skew);
            self.nonce += 1;
            // Others come first now and then.
            let answer = if self.chance.below(4) == 0 { Answer::Awaited } else { Answer::Given };
            let turn = Turn { asked: host.asked.unwrap_or(now), answer };
            match next_step(&state, &self.rules, &host.term, turn, now, self.nonce) {
                Step::Write(decision) => {
                    host.asked = None;
                    self.begin(&mut host, *decision)?;
                }
                Step::Stop { nonce, .. } => {
                    let run = host.live.iter_mut().find(|run| run.nonce == nonce).expect("only what runs is stopped");
                    run.ends = now + SignedDuration::from_millis(self.chance.below(1500) as i64);
                    run.end = End::Cancelled;
                    host.term.stopping.push(nonce);
                }
                Step::Ask(wake) => {
                    host.asked.get_or_insert(now);
                    let given = now + SignedDuration::from_millis(1 + self.chance.below(1500) as i64);
                    self.wait(&mut host, wake.into_iter().chain([given]).min(), until)?;
                }
                Step::Wait(wake) => self.wait(&mut host, wake, until)?,
            }
        }
        Ok(())
    }

    fn take_over(&mut self, host: &mut Host) -> Result<(), Crash> {
        let now = self.now + host.skew;
        self.break_state(now);
        if let Some(found) = taken_over(&self.state(), &self.rules, &host.term, &[], now) {
            let of = found.abandoned.iter().filter_map(|lost| Some((lost.of.tick()?, lost.attempt)));
            let ends: Vec<_> = of.map(|of| Ended { of, outcome: Outcome::Unknown, retryable: None, at: now }).collect();
            self.write(&found.decision, &ends, now)?;
        }
        let made: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        match changed(&self.state(), &self.rules, &host.term, Changed::from_now_on(made), now) {
            Some(decision) => self.write(&decision, &[], now),
            None => Ok(()),
        }
    }

    /// Somebody resumes what paused itself.
    fn resume(&mut self, host: &mut Host) -> Result<(), Crash> {
        let now = self.now + host.skew;
        if self.state().paused.is_none() || self.chance.below(4) > 0 {
            return Ok(());
        }
        let decision = changed(&self.state(), &self.rules, &host.term, Changed::from_now_on(now), now)
            .expect("a resumed job is changed");
        self.write(&decision, &[], now)
    }

    fn begin(&mut self, host: &mut Host, decision: Decision) -> Result<(), Crash> {
        let now = self.now + host.skew;
        self.write(&decision, &[], now)?;
        let Some(begin) = decision.begin else { return Ok(()) };
        if let Some(tick) = begin.of.tick() {
            *self.starts.entry(tick).or_default() += 1;
        }
        let (took, end) = self.fate();
        host.live.push(Live { nonce: begin.nonce, begin, ends: now + took, end });
        Ok(())
    }

    /// How long a run takes, and how it ends.
    fn fate(&mut self) -> (SignedDuration, End) {
        let quick = SignedDuration::from_millis(self.chance.below(3000) as i64);
        let slow = SignedDuration::from_millis(self.chance.below(59_000) as i64);
        match self.chance.below(20) {
            0 => (quick, End::Failed { retryable: true }),
            1 => (slow, End::Failed { retryable: false }),
            2 => (SignedDuration::try_from(RUN_TIME).unwrap(), End::TimedOut),
            3..=6 => (slow, End::Succeeded),
            _ => (quick, End::Succeeded),
        }
    }

    /// Until something is to be done, or the host dies in its sleep.
    fn wait(&mut self, host: &mut Host, wake: Option<Timestamp>, until: Timestamp) -> Result<(), Crash> {
        let first = (0..host.live.len()).min_by_key(|at| host.live[*at].ends);
        let ends = first.map(|at| host.live[at].ends);
        let look = self.state().paused.map(|_| self.now + host.skew + SignedDuration::from_mins(10));
        let next = wake.into_iter().chain(look).chain(ends).min().map_or(until, |next| (next - host.skew).min(until));
        let sleeps = next.duration_since(self.now).max(SignedDuration::from_millis(1));
        if self.crashes_now() {
            self.now += SignedDuration::from_millis(self.chance.below(sleeps.as_millis() as usize) as i64);
            return Err(Crash);
        }
        // A timer is late by a moment.
        self.now += sleeps + SignedDuration::from_millis(self.chance.below(20) as i64);
        match first {
            Some(at) if ends.is_some_and(|ends| ends <= self.now + host.skew) => self.finish(host, at),
            Some(_) | None => Ok(()),
        }
    }

    fn finish(&mut self, host: &mut Host, at: usize) -> Result<(), Crash> {
        let run = host.live.remove(at);
        host.term.stopping.retain(|nonce| *nonce != run.nonce);
        let now = self.now + host.skew;
        let decision = ended(&self.state(), &self.rules, &host.term, run.nonce, run.end, "", now).expect("it runs");
        let retryable = if let End::Failed { retryable } = run.end { Some(retryable) } else { None };
        let ended = |tick| Ended { of: (tick, run.begin.attempt), outcome: run.end.outcome(), retryable, at: now };
        let ends = run.begin.of.tick().map(ended);
        self.write(&decision, ends.as_slice(), now)
    }

    /// What a broken scheduler makes of the state that it finds.
    fn break_state(&mut self, now: Timestamp) {
        let Some(sabotage) = self.world.sabotage else { return };
        let mut state = self.state();
        let is_waiting = |active: &Active| matches!(active.phase, Phase::Waiting { .. });
        match sabotage {
            Sabotage::CursorSetBack => {
                state.cursor = state.cursor.map(|cursor| cursor - SignedDuration::from_hours(1));
            }
            Sabotage::CursorSetToNow => state.cursor = Some(now),
            Sabotage::RetriesForgotten => state.active.retain(|active| !is_waiting(active)),
            Sabotage::QueueForgotten => state.queue.clear(),
            Sabotage::RunsForgotten => state.active.clear(),
            Sabotage::LostRunsBegunAgain => {
                for active in &mut state.active {
                    active.phase = Phase::Waiting { until: now };
                }
            }
            Sabotage::SkippedInIdleness | Sabotage::RefusedForNothing | Sabotage::ClockAhead => return,
        }
        self.node = state.to_bytes();
    }

    // ---- the coordinator ----

    fn state(&self) -> JobState {
        JobState::from_bytes(&self.node).unwrap()
    }

    /// One multi, with what it means for the records. The host may die before it, or after it and before the answer.
    fn write(&mut self, decision: &Decision, ends: &[Ended], now: Timestamp) -> Result<(), Crash> {
        if self.crashes_now() {
            return Err(Crash);
        }
        self.node = decision.next.to_bytes();
        assert!(self.node.len() <= MAX_STATE_BYTES);
        assert_eq!(self.state(), decision.next);
        for Ended { of, outcome, retryable, at } in ends {
            self.counter += usize::from(*outcome == Outcome::Succeeded);
            let run = self.seen.iter_mut().rev().find_map(|seen| match seen {
                Seen::Ran(ran) if (ran.tick, ran.attempt) == *of => Some(ran),
                Seen::Ran(_) | Seen::Skipped { .. } | Seen::GaveUp { .. } | Seen::Untold { .. } => None,
            });
            let Some(run) = run else { continue };
            assert_eq!(run.ended, None, "a run ends once");
            (run.ended, run.retryable) = (Some((*at, *outcome)), *retryable);
        }
        let Decision { next: _, value: _, skips, mut begin } = decision.clone();
        let mut began = now;
        match self.world.sabotage {
            Some(Sabotage::ClockAhead) => began -= SignedDuration::from_secs(1),
            Some(sabotage @ (Sabotage::SkippedInIdleness | Sabotage::RefusedForNothing)) if self.token % 3 == 0 => {
                let tick = begin.take().and_then(|begin| begin.of.tick());
                let reason = match sabotage {
                    Sabotage::SkippedInIdleness => Reason::Overlapped,
                    _ => Reason::Unavailable,
                };
                self.seen.extend(tick.map(|first| Seen::Skipped { first, before: None, reason, at: now }));
            }
            Some(_) | None => {}
        }
        self.seen.extend(skips.iter().map(|skip| seen(skip, now)));
        if let Some(Begin { of: Occasion::Tick(tick), attempt, .. }) = begin {
            self.seen.push(Seen::Ran(Ran { tick, attempt, began, ended: None, retryable: None }));
        }
        if self.crashes_now() { Err(Crash) } else { Ok(()) }
    }

    fn crashes_now(&mut self) -> bool {
        self.world.crash_in > 0 && self.chance.below(self.world.crash_in) == 0
    }

    fn outage(&mut self) {
        let longest = if self.chance.below(30) == 0 { LONG_OUTAGE } else { SHORT_OUTAGE };
        self.now += SignedDuration::from_millis(self.chance.below(longest * 1000) as i64);
    }
}

fn seen(skip: &Skip, at: Timestamp) -> Seen {
    let reason = skip.reason;
    match &skip.what {
        Skipped::Tick(tick) => Seen::Skipped { first: *tick, before: None, reason, at },
        Skipped::Ticks { first, before } => Seen::Skipped { first: *first, before: Some(*before), reason, at },
        Skipped::Attempt { of, attempt } => {
            Seen::GaveUp { tick: of.tick().expect("no order is given here"), attempt: *attempt, reason, at }
        }
        Skipped::Backfill { .. } => unreachable!("nothing is filled in here"),
    }
}
