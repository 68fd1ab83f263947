//! Keeps one job's schedule while its group is led here: asks the plan what is next, and brings it about at the desk.
//!
//! It never waits. Whatever takes time is told to it as an event, and [`Keeper::advance`] does all that can be done until the
//! next one. One change of the run state is under way at the most, and nothing follows from a change before it is made.

mod load;
mod orders;
mod problems;
mod runs;
mod writes;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub(super) use self::load::Loaded;
use self::problems::KeeperProblems;
use self::runs::{Ended, Live};
use self::writes::Then;
pub(super) use self::writes::Under;
use super::desk::{Desk, Event, Key};
use super::order::{Order, TriggerError};
use super::plan::{self, Answer, Changed, Holder, JobState, Reason, Rules, Step, Term, next_step};
use super::records::Scribe;
use super::runner::Start;
use super::turns::{Asked, Ticket, Turn};
use crate::history::Stored;
use crate::registry::{Build, Job, JobId, Policies, Schedule, Trigger};
use crate::runtime::ComponentError;

/// Whether a keeper should go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retire {
    /// It should.
    No,
    /// Its job is paused: end when nothing of it is under way any more.
    AfterRuns,
    /// Its job is deleted: stop the runs and end.
    Now,
}

/// How far a keeper is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// What the coordinator has is being read.
    Loading,
    /// It is read anew in a moment, after a setback.
    Resting,
    /// A change is under way.
    Writing,
    /// It knows how things stand.
    Ready,
}

/// What is known of a run state that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    /// All that it held.
    Known,
    /// Nothing.
    Unknown,
}

/// How far a job is on its way to its next begin.
enum Chance {
    /// Nothing is to be begun, as far as is known.
    None,
    /// Its component is made ready.
    Preparing,
    /// Others come first.
    Waiting { start: Start, _ticket: Ticket },
    /// It may begin.
    Given { start: Start, turn: Turn },
    /// It may not; more words than the reason has, where there are.
    Refused { reason: Reason, why: Option<String> },
}

/// One job of a led group.
pub(super) struct Keeper {
    pub(super) job: Arc<Job>,
    pub(super) retire: Retire,
    key: Key,
    schedule: Schedule,
    policies: Policies,
    stage: Stage,
    /// The job was changed since what is known was read.
    stale: bool,
    /// It is among those that are read, and settled, now.
    reading: bool,
    state: JobState,
    /// Of the run state's node; None while there is none.
    version: Option<i32>,
    /// When the job was last changed, and from when on it ticks.
    changed: Changed,
    term: Term,
    live: Vec<Live>,
    ended: VecDeque<Ended>,
    /// Records of this term's outcomes that are on their way to their store, oldest first.
    untold: VecDeque<Stored>,
    orders: VecDeque<Order>,
    chance: Chance,
    /// When its present chance was asked for.
    asked: Option<Timestamp>,
    alarm: Option<Timestamp>,
    /// How many setbacks there were since something was written, or nothing was left to write.
    setbacks: u32,
    /// The last of them was that something could not be read.
    unread: bool,
    /// The run state was missing, and is made again by the next write.
    missing: Option<Missing>,
    problems: KeeperProblems,
}

/// Returns what a job says of its ticks and runs, or why this host can't keep it.
fn rules_of(job: &Job) -> Result<(Schedule, Policies), String> {
    let id = &job.spec.id;
    let Trigger::Schedule { policies, .. } = &job.spec.trigger else { return Err("it has no schedule".to_owned()) };
    let schedule = job.spec.schedule().ok_or("it has no schedule")?.map_err(|error| error.to_string())?;
    let policies = Policies::parse(policies, &id.name).map_err(|error| error.to_string())?;
    Ok((schedule, policies))
}

impl Keeper {
    /// Begins with reading what the coordinator has.
    ///
    /// # Errors
    /// Why the job can't be kept: this host refuses its schedule or policies, which another release may have accepted.
    pub(super) fn start(job: Arc<Job>, key: Key, desk: &mut Desk) -> Result<Self, String> {
        let (schedule, policies) = rules_of(&job)?;
        let retire = if job.spec.paused.is_some() { Retire::AfterRuns } else { Retire::No };
        let holder = Holder { host: desk.scheduling.host.clone(), token: desk.gate.token() };
        let mut keeper = Keeper {
            job,
            retire,
            key,
            schedule,
            policies,
            stage: Stage::Loading,
            stale: false,
            reading: false,
            state: JobState::default(),
            version: None,
            changed: Changed::from_now_on(Timestamp::MIN),
            term: Term { holder, since: desk.now(), stopping: Vec::new() },
            live: Vec::new(),
            ended: VecDeque::new(),
            untold: VecDeque::new(),
            orders: VecDeque::new(),
            chance: Chance::None,
            asked: None,
            alarm: None,
            setbacks: 0,
            unread: false,
            missing: None,
            problems: KeeperProblems::default(),
        };
        keeper.load(desk);
        Ok(keeper)
    }

    /// The job is another now, or paused. Its runs go on to their end. If it has no schedule that can be kept any more, nothing
    /// else is begun.
    pub(super) fn change(&mut self, job: Arc<Job>) {
        if job.born != self.job.born {
            // The one that was kept here was deleted meanwhile, and this is another of its name.
            return self.retire(Retire::Now);
        }
        let rules = rules_of(&job);
        self.stale = true;
        if job.spec.build() != self.job.spec.build() {
            // Whether the new one can run turns out when it is asked for.
            self.problems.component = None;
        }
        // What was made ready, or waits, may be another component.
        self.take_chance();
        self.retire(if job.spec.paused.is_some() || rules.is_err() { Retire::AfterRuns } else { Retire::No });
        if let Ok((schedule, policies)) = rules {
            (self.schedule, self.policies) = (schedule, policies);
        }
        self.job = job;
    }

    /// Who is to stop at once stays so, even where a job of the same name comes after.
    pub(super) fn retire(&mut self, how: Retire) {
        if self.retire != Retire::Now {
            self.retire = how;
        }
        if self.retire == Retire::Now {
            self.live.iter().for_each(Live::kill);
        }
    }

    /// Nothing of it is under way. What is being read or rests is of no more use.
    pub(super) fn is_idle(&self) -> bool {
        self.live.is_empty() && self.ended.is_empty() && self.stage != Stage::Writing
    }

    /// It is to end, and nothing is left to do.
    pub(super) fn is_done(&self) -> bool {
        match self.retire {
            Retire::No => false,
            Retire::AfterRuns => self.is_idle() && self.stage == Stage::Ready,
            Retire::Now => self.is_idle(),
        }
    }

    /// Its alarm has rung.
    pub(super) fn rung(&mut self) {
        self.alarm = None;
    }

    /// It has rested after a setback.
    fn rested(&mut self, desk: &mut Desk) {
        if self.stage == Stage::Resting {
            self.load(desk);
        }
    }

    /// Something that it waited for.
    pub(super) fn hear(&mut self, event: Event, desk: &mut Desk) {
        match event {
            Event::Loaded(loaded) => self.loaded(loaded, desk),
            Event::Prepared { build, prepared } => self.prepared(&build, prepared, desk),
            Event::Ended { nonce, end } => self.run_ended(nonce, end, desk),
            Event::Rested => self.rested(desk),
            Event::Told { stored, held } => self.told(stored, *held, desk),
        }
    }

    /// Others may be read, as this one is settled or gone.
    pub(super) fn has_read(&mut self, desk: &mut Desk) {
        if std::mem::take(&mut self.reading) {
            desk.has_read();
        }
    }

    /// Does all that can be done now.
    pub(super) fn advance(&mut self, desk: &mut Desk) {
        if matches!(self.stage, Stage::Ready | Stage::Resting) {
            self.has_read(desk);
        }
        let is_blind = matches!(self.stage, Stage::Loading | Stage::Resting) && desk.gate.is_over();
        if self.retire == Retire::Now || is_blind {
            // Nothing that is written now would be kept.
            self.ended.drain(..).for_each(|ended| ended.unheard(desk));
        }
        while self.stage == Stage::Ready {
            if let Some(ended) = self.ended.pop_front() {
                self.write_end(ended, desk);
            } else if self.retire != Retire::No || desk.closing {
                self.setback_over();
                break;
            } else if desk.held_back {
                return;
            } else if self.stale {
                self.load(desk);
            } else if !self.carry_out_order(desk) && !self.take_step(desk) {
                return;
            }
        }
        if self.retire != Retire::No || desk.closing {
            self.turn_away(desk);
        }
    }

    /// Nothing is begun here any more.
    fn turn_away(&mut self, desk: &mut Desk) {
        self.take_chance();
        desk.alarm(self.key, &mut self.alarm, None);
        self.orders.drain(..).for_each(|order| order.refuse(TriggerError::NotHere));
    }

    /// False where nothing is to be done now.
    fn take_step(&mut self, desk: &mut Desk) -> bool {
        let (now, nonce) = (desk.now(), desk.nonce());
        let ahead = self.look_ahead(desk);
        let sooner = |wake: Option<Timestamp>| wake.into_iter().chain(ahead).min();
        let turn = plan::Turn { asked: self.asked.unwrap_or(now), answer: self.chance.answer() };
        match next_step(&self.state, &self.rules(), &self.term, turn, now, nonce) {
            Step::Write(mut decision) => {
                let then = match (decision.begin.take(), self.take_chance()) {
                    (Some(begin), Chance::Given { start, turn }) => Then::Begin { begin, start, turn, order: None },
                    (_, Chance::Refused { why, .. }) => Then::Skipped { why },
                    _ => Then::Skipped { why: None },
                };
                self.write(*decision, then, desk);
                true
            }
            Step::Stop { nonce, why } => {
                self.stop(nonce, why);
                true
            }
            Step::Ask(wake) => {
                desk.alarm(self.key, &mut self.alarm, sooner(wake));
                self.asked.get_or_insert(now);
                self.ask(desk)
            }
            Step::Wait(wake) => {
                self.setback_over();
                if self.orders.is_empty() {
                    self.take_chance();
                }
                desk.alarm(self.key, &mut self.alarm, sooner(wake));
                false
            }
        }
    }

    /// True where it is known now whether a run may begin.
    fn ask(&mut self, desk: &mut Desk) -> bool {
        match self.chance {
            Chance::None => {
                let (runner, build) = (&desk.scheduling.runner, self.job.spec.build());
                let tenant = &self.job.spec.id.tenant;
                let signers = desk.scheduling.turns.settings(tenant).signers;
                if let Some(start) = runner.at_hand(&build, &signers) {
                    self.problems.component = None;
                    return self.ask_for_turn(start, desk);
                }
                let prepared = runner.prepare(tenant, &build, &signers);
                desk.wait_for(self.key, async move { Event::Prepared { build, prepared: prepared.await } });
                self.chance = Chance::Preparing;
                false
            }
            Chance::Preparing | Chance::Waiting { .. } => false,
            Chance::Given { .. } | Chance::Refused { .. } => true,
        }
    }

    fn ask_for_turn(&mut self, start: Start, desk: &mut Desk) -> bool {
        let (key, turns) = (self.key, desk.turns.clone());
        let tell = move |turn| drop(turns.send((key, turn)));
        self.chance = match desk.scheduling.turns.ask(&self.job.spec.id.tenant, tell) {
            Asked::Given(turn) => Chance::Given { start, turn },
            Asked::Waiting(ticket) => Chance::Waiting { start, _ticket: ticket },
            Asked::Refused(reason) => Chance::Refused { reason, why: None },
        };
        !matches!(self.chance, Chance::Waiting { .. })
    }

    /// Its component is ready, or can't be had.
    fn prepared(&mut self, build: &Build, prepared: Result<Start, ComponentError>, desk: &mut Desk) {
        // The job may have had another component when it was asked for.
        if !matches!(self.chance, Chance::Preparing) || *build != self.job.spec.build() {
            return;
        }
        match prepared {
            Ok(start) => {
                self.problems.component = None;
                if let Some(start) = self.still_accepted(start, desk) {
                    self.ask_for_turn(start, desk);
                } else {
                    self.chance = Chance::None;
                }
            }
            Err(error) => {
                let reason = if error.may_pass() { Reason::OutOfReach } else { Reason::Unavailable };
                self.component_fails(&error, desk);
                self.chance = Chance::Refused { reason, why: Some(error.to_string()) };
            }
        }
    }

    /// The turn that it waited for has come. Where it waited longer than its component is accepted, it asks anew.
    pub(super) fn given(&mut self, turn: Turn, desk: &Desk) {
        self.chance = match std::mem::replace(&mut self.chance, Chance::None) {
            Chance::Waiting { start, .. } => match self.still_accepted(start, desk) {
                Some(start) => Chance::Given { start, turn },
                None => Chance::None,
            },
            other => other,
        };
    }

    /// What was made ready a while ago, unless its tenant's signers are others now, and it isn't known that one of them signed.
    fn still_accepted(&self, start: Start, desk: &Desk) -> Option<Start> {
        let signers = desk.scheduling.turns.settings(&self.job.spec.id.tenant).signers;
        if signers.is_none() { Some(start) } else { desk.scheduling.runner.at_hand(&self.job.spec.build(), &signers) }
    }

    /// Whatever comes of it, the next run has to ask anew.
    fn take_chance(&mut self) -> Chance {
        self.asked = None;
        std::mem::replace(&mut self.chance, Chance::None)
    }

    fn id(&self) -> &JobId {
        &self.job.spec.id
    }

    /// How many whole records of its runs are kept.
    fn kept_runs(&self) -> usize {
        self.policies.history as usize
    }

    fn rules(&self) -> Rules<'_> {
        let run_time = self.job.spec.limits.time().unwrap_or(Duration::MAX);
        Rules { schedule: &self.schedule, policies: &self.policies, run_time }
    }

    fn scribe<'a>(&'a self, desk: &'a Desk) -> Scribe<'a> {
        Scribe { job: self.id(), host: &desk.scheduling.host, token: desk.gate.token() }
    }
}

impl Chance {
    fn answer(&self) -> Answer {
        match self {
            Chance::None | Chance::Preparing | Chance::Waiting { .. } => Answer::Awaited,
            Chance::Given { .. } => Answer::Given,
            Chance::Refused { reason, .. } => Answer::Refused(*reason),
        }
    }
}
