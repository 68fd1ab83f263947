//! One term of leading a group: follows its jobs, hears what happens, and lets the keepers go on.
//!
//! All of a group's schedules are kept by one task. Whatever has happened by the time it looks is heard before anything is
//! sent, so that what many jobs have to write goes in few multis.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, watch};
use tracing::error;

use super::desk::{Desk, Event, Key};
use super::group::Scheduling;
use super::keeper::{Keeper, Retire};
use super::led::Told;
use super::order::TriggerError;
use super::pipeline::Settled;
use super::turns::Turn;
use super::way::Way;
use crate::capability::Gate;
use crate::registry::{About, GroupJobs, JobId, Jobs, Raised, Trigger};

/// How much is heard before what follows from it is sent.
const EARFUL: usize = 512;

/// By how much the wall clock goes back before that is looked into. Less is how clocks are kept right.
const CLOCK_STEP: SignedDuration = SignedDuration::from_secs(1);

pub(super) struct Term {
    group: u32,
    desk: Desk,
    jobs: watch::Receiver<Jobs>,
    /// The jobs of the group, as they were followed last.
    seen: GroupJobs,
    /// Boxed: the map has room for twice as many as there are.
    keepers: BTreeMap<Key, Box<Keeper>>,
    by_job: BTreeMap<JobId, Key>,
    /// The jobs that rest and of which nothing is left to settle, each with the transaction that wrote it.
    rested: BTreeMap<JobId, i64>,
    /// The jobs that can't be kept at all.
    unkept: BTreeMap<JobId, Option<Raised>>,
    settled: mpsc::UnboundedReceiver<Settled>,
    turns: mpsc::UnboundedReceiver<(Key, Turn)>,
    orders: mpsc::Receiver<Told>,
    /// Those that no keeper has taken yet: this host may not have heard of the job, or of its resumption. Whoever gave them
    /// withdraws them after a while.
    waiting: Vec<Told>,
    way: Way,
    next_key: Key,
    /// What the wall clock showed at the last look.
    last_look: Timestamp,
}

/// What a term hears.
enum Heard {
    Stop,
    /// Whether another host should lead, and stands ready.
    Way(bool),
    Jobs,
    Settled(Settled),
    Event(Key, Event),
    Turn(Key, Turn),
    Order(Told),
    Time,
}

impl Term {
    pub(super) fn new(group: u32, scheduling: Arc<Scheduling>, gate: Arc<Gate>, orders: mpsc::Receiver<Told>) -> Self {
        let (turned, turns) = mpsc::unbounded_channel();
        let (pipeline, settled) = scheduling.pipelines.open(&gate, &scheduling.handle);
        let jobs = scheduling.jobs.clone();
        let desk = Desk::new(scheduling, gate, pipeline, turned);
        Term {
            group,
            desk,
            jobs,
            seen: GroupJobs::default(),
            keepers: BTreeMap::new(),
            by_job: BTreeMap::new(),
            rested: BTreeMap::new(),
            unkept: BTreeMap::new(),
            settled,
            turns,
            orders,
            waiting: Vec::new(),
            way: Way::Kept,
            next_key: 0,
            last_look: Timestamp::MIN,
        }
    }

    /// Until the group is led no more and nothing of it runs here.
    pub(super) async fn serve(mut self) {
        let (mut stop, mut way) = (self.desk.gate.stop_asked(), self.desk.gate.way_asked());
        self.follow_jobs();
        self.read();
        while !(self.desk.closing && self.keepers.is_empty()) {
            let heard = self.hear(&mut stop, &mut way).await;
            self.take_in(heard);
            for _ in 0..EARFUL {
                match self.overhear() {
                    Some(heard) => self.take_in(heard),
                    None => break,
                }
            }
            self.hand_out();
            while let Some(key) = self.desk.ring() {
                self.with(key, |keeper, _| keeper.rung());
            }
            self.look_at_clock();
            self.read();
            self.make_way();
        }
    }

    /// A wall clock that was set back leaves alarms, and ticks that count as decided, ahead of it: every keeper looks at them.
    fn look_at_clock(&mut self) {
        let now = self.desk.now();
        if now.duration_since(std::mem::replace(&mut self.last_look, now)) < -CLOCK_STEP {
            self.keys().into_iter().for_each(|key| self.with(key, |_, _| {}));
        }
    }

    /// Waits for the next thing that happens.
    async fn hear(&mut self, stop: &mut watch::Receiver<bool>, way: &mut watch::Receiver<bool>) -> Heard {
        let lasts = self.way.lasts(self.desk.scheduling.clock.boot());
        let nap = lasts.map_or(self.desk.nap(), |lasts| lasts.min(self.desk.nap()));
        let Term { desk, jobs, settled, turns, orders, .. } = self;
        let has_events = !desk.under_way.is_empty();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop), if !desk.closing => Heard::Stop,
            Ok(()) = way.changed() => Heard::Way(*way.borrow_and_update()),
            Some(settled) = settled.recv() => Heard::Settled(settled),
            Some((key, event)) = desk.under_way.next(), if has_events => Heard::Event(key, event),
            Some((key, turn)) = turns.recv() => Heard::Turn(key, turn),
            Ok(()) = jobs.changed() => Heard::Jobs,
            Some(told) = orders.recv() => Heard::Order(told),
            () = tokio::time::sleep(nap) => Heard::Time,
        }
    }

    /// What has happened already.
    fn overhear(&mut self) -> Option<Heard> {
        if let Ok(settled) = self.settled.try_recv() {
            return Some(Heard::Settled(settled));
        }
        if let Some(Some((key, event))) = self.desk.under_way.next().now_or_never() {
            return Some(Heard::Event(key, event));
        }
        self.turns.try_recv().ok().map(|(key, turn)| Heard::Turn(key, turn))
    }

    fn take_in(&mut self, heard: Heard) {
        match heard {
            Heard::Stop => self.close(),
            Heard::Way(asked) => self.way = self.way.asked(asked, self.desk.scheduling.clock.boot()),
            Heard::Jobs => self.follow_jobs(),
            Heard::Settled((key, under, result)) => {
                self.with(key, |keeper, desk| keeper.written(under, result, desk));
            }
            Heard::Event(key, event) => self.with(key, |keeper, desk| keeper.hear(event, desk)),
            Heard::Turn(key, turn) => self.with(key, |keeper, desk| keeper.given(turn, desk)),
            Heard::Order(told) => self.waiting.push(told),
            Heard::Time => {}
        }
    }

    /// Gives the orders that wait to the keepers of their jobs. Each is taken once, unless it was withdrawn.
    fn hand_out(&mut self) {
        for told in std::mem::take(&mut self.waiting) {
            let key = self.by_job.get(&told.job).copied();
            let keeps = |key: &Key| self.keepers.get(key).is_some_and(|keeper| keeper.retire == Retire::No);
            match key.filter(keeps) {
                _ if self.desk.closing => told.order.refuse(TriggerError::NotHere),
                Some(key) if told.claim.take() => self.with(key, |keeper, _| keeper.order(told.order)),
                None if told.claim.is_open() => self.waiting.push(told),
                Some(_) | None => {}
            }
        }
    }

    /// Tells a keeper something and lets it go on; forgets it where it is done.
    fn with(&mut self, key: Key, tell: impl FnOnce(&mut Keeper, &mut Desk)) {
        let Some(keeper) = self.keepers.get_mut(&key) else { return };
        tell(keeper, &mut self.desk);
        keeper.advance(&mut self.desk);
        if keeper.is_done() || (keeper.is_idle() && self.desk.closing) {
            keeper.has_read(&mut self.desk);
            let job = keeper.job.spec.id.clone();
            // One whose schedule is refused rests too, once that is told.
            if keeper.retire == Retire::AfterRuns && keeper.job.spec.paused.is_some() {
                self.rested.insert(job.clone(), keeper.job.mzxid);
            }
            self.keepers.remove(&key);
            if self.by_job.get(&job) == Some(&key) {
                self.by_job.remove(&job);
            }
            // A job of the same name may have come meanwhile.
            self.start(&job);
        }
    }

    /// Reads the jobs of those who ask for it, a few at once.
    fn read(&mut self) {
        while let Some(key) = self.desk.next_to_read() {
            match self.keepers.get_mut(&key) {
                Some(keeper) => keeper.read(&mut self.desk),
                None => self.desk.has_read(),
            }
        }
    }

    /// Begins nothing more: what runs goes on to its end, and that is written.
    fn close(&mut self) {
        self.desk.closing = true;
        self.orders.close();
        for key in self.keys() {
            self.with(key, |_, _| {});
        }
    }

    /// Ends the term by itself, where another host should lead and it is the moment.
    fn make_way(&mut self) {
        self.way = self.way.at(self.desk.scheduling.clock.boot());
        let held_back = std::mem::replace(&mut self.desk.held_back, self.way.holds_back());
        if held_back && !self.desk.held_back {
            self.keys().into_iter().for_each(|key| self.with(key, |_, _| {}));
        }
        let is_quiet = |term: &Self| term.keepers.values().all(|keeper| keeper.is_idle());
        if !self.desk.closing && self.way.gives_up(self.desk.until_next()) && is_quiet(self) {
            self.close();
        }
    }

    fn keys(&self) -> Vec<Key> {
        self.keepers.keys().copied().collect()
    }

    // ---- jobs ----

    fn follow_jobs(&mut self) {
        let ours = self.jobs.borrow_and_update().group(self.group, self.desk.scheduling.groups);
        if Arc::ptr_eq(&ours, &self.seen) {
            return;
        }
        self.seen = ours.clone();
        for key in self.keys() {
            let Some(keeper) = self.keepers.get(&key) else { continue };
            let (known, id) = (keeper.job.mzxid, &keeper.job.spec.id);
            match ours.get(id) {
                None => self.with(key, |keeper, _| keeper.retire(Retire::Now)),
                Some(job) if job.mzxid == known => {}
                Some(job) => {
                    let job = job.clone();
                    self.with(key, |keeper, _| keeper.change(job));
                }
            }
        }
        self.unkept.retain(|id, _| ours.get(id).is_some());
        self.rested.retain(|id, mzxid| ours.get(id).is_some_and(|job| job.mzxid == *mzxid));
        ours.keys().for_each(|id| self.start(id));
    }

    /// Keeps a job, where it is to be kept and isn't. One that rests is kept until what an earlier term began of it is settled.
    fn start(&mut self, id: &JobId) {
        // The lease is over a moment before the group is told to stop.
        if self.desk.closing || self.desk.gate.is_over() || self.by_job.contains_key(id) {
            return;
        }
        let job = self.seen.get(id).cloned();
        let is_scheduled = |job: &crate::registry::Job| matches!(job.spec.trigger, Trigger::Schedule { .. });
        let Some(job) = job.filter(|job| is_scheduled(job) && self.rested.get(id) != Some(&job.mzxid)) else { return };
        self.next_key += 1;
        let key = self.next_key;
        let mzxid = job.mzxid;
        match Keeper::start(job, key, &mut self.desk) {
            Ok(keeper) => {
                self.unkept.remove(id);
                self.keepers.insert(key, Box::new(keeper));
                self.by_job.insert(id.clone(), key);
            }
            // Said once, and then again when the job is another.
            Err(why) => {
                let held = self.unkept.entry(id.clone()).or_default();
                let text = format!("its schedule can't be kept: {why}; apply it again");
                if self.desk.scheduling.problems.set(held, About::Job(id.clone()), self.desk.now(), &text) {
                    error!(job = %id, why, "a stored job doesn't tick: apply it again");
                }
                self.rested.insert(id.clone(), mzxid);
            }
        }
    }
}
