//! One job on a desk: its state goes through its bytes at each step, as it would through the coordinator.

mod ahead;
mod backfill;
mod crashes;
mod ends;
mod overlaps;
mod stored;
mod turns;

use super::*;
use crate::registry::{
    CatchUpRule, Delivery, JobId, OverlapRule, Policies, PolicySpec, RetryOn, RetrySpec, Schedule, ScheduleSpec,
};

fn at(text: &str) -> Timestamp {
    format!("2026-01-01T{text}Z").parse().unwrap()
}

fn changed_at(text: &str) -> Changed {
    Changed::from_now_on(at(text))
}

fn tick(text: &str) -> Occasion {
    Occasion::Tick(at(text))
}

#[derive(Clone)]
struct Desk {
    schedule: Schedule,
    policies: Policies,
    state: JobState,
    term: Term,
    nonce: u32,
    /// Whether runs may begin.
    answer: Answer,
    /// Since when a turn is waited for.
    asked: Option<&'static str>,
    skips: Vec<Skip>,
}

impl Desk {
    /// A job that was made at midnight, kept here since then.
    fn new(schedule: &str, policies: PolicySpec) -> Self {
        let job = JobId::new("acme", "nightly").unwrap();
        let schedule = Schedule::parse(&ScheduleSpec::new(schedule), Some(&job)).unwrap();
        let policies = Policies::parse(&policies, "nightly").unwrap();
        let holder = Holder { host: "a".to_owned(), token: 7 };
        let term = Term { holder, since: at("00:00:00"), stopping: Vec::new() };
        let state = JobState { cursor: Some(at("00:00:00")), ..JobState::default() };
        Desk { schedule, policies, state, term, nonce: 0, answer: Answer::Given, asked: None, skips: Vec::new() }
    }

    fn rules(&self) -> Rules<'_> {
        Rules { schedule: &self.schedule, policies: &self.policies, run_time: Duration::from_secs(60) }
    }

    fn write(&mut self, decision: Decision) -> Option<Begin> {
        let bytes = decision.next.to_bytes();
        assert!(bytes.len() <= MAX_STATE_BYTES, "{} bytes", bytes.len());
        self.state = JobState::from_bytes(&bytes).unwrap();
        assert_eq!(self.state, decision.next, "it survives its bytes");
        self.skips.extend(decision.skips);
        decision.begin
    }

    /// All that is to be done at this time: what begins, and what to do then.
    fn at(&mut self, time: &str) -> (Vec<(Occasion, u32)>, Step) {
        let mut begun = Vec::new();
        loop {
            self.nonce += 1;
            let turn = Turn { asked: self.asked.map_or(at(time), at), answer: self.answer };
            match next_step(&self.state, &self.rules(), &self.term, turn, at(time), self.nonce) {
                Step::Write(decision) => begun.extend(self.write(*decision).map(|begin| (begin.of, begin.attempt))),
                other @ (Step::Ask(_) | Step::Stop { .. } | Step::Wait(_)) => return (begun, other),
            }
        }
    }

    #[track_caller]
    fn begins(&mut self, time: &str, ticks: &[&str]) {
        let begun: Vec<Occasion> = self.at(time).0.into_iter().map(|(of, _)| of).collect();
        assert_eq!(begun, ticks.iter().map(|text| tick(text)).collect::<Vec<_>>(), "at {time}");
    }

    /// The oldest run that is under way ends.
    fn ends(&mut self, time: &str, end: End) {
        let nonce = self.state.active.iter().find_map(Active::nonce).expect("a run is under way");
        let decision = ended(&self.state, &self.rules(), &self.term, nonce, end, "said so", at(time));
        assert_eq!(self.write(decision.unwrap()), None);
    }

    /// Another host takes over.
    fn fails_over(&mut self, time: &str) -> Vec<Abandoned> {
        let holder = Holder { host: "b".to_owned(), token: self.term.holder.token + 1 };
        self.term = Term { holder, since: at(time), stopping: Vec::new() };
        let found = taken_over(&self.state, &self.rules(), &self.term, &[], at(time));
        found.map_or_else(Vec::new, |found| {
            self.write(found.decision);
            found.abandoned
        })
    }

    fn skipped(&mut self) -> Vec<(String, Reason)> {
        let name = |what| match what {
            Skipped::Tick(tick) => tick.strftime("%T").to_string(),
            Skipped::Ticks { first, before } => format!("{}..{}", first.strftime("%T"), before.strftime("%T")),
            Skipped::Backfill { first, before } => {
                format!("{}..{} filled in", first.strftime("%T"), before.strftime("%T"))
            }
            Skipped::Attempt { of, attempt } => {
                format!("{} #{attempt}", of.tick().map_or_else(String::new, |tick| tick.strftime("%T").to_string()))
            }
        };
        std::mem::take(&mut self.skips).into_iter().map(|skip| (name(skip.what), skip.reason)).collect()
    }

    #[track_caller]
    fn has_skipped(&mut self, wanted: &[(&str, Reason)]) {
        let wanted: Vec<(String, Reason)> = wanted.iter().map(|(name, reason)| ((*name).to_owned(), *reason)).collect();
        assert_eq!(self.skipped(), wanted);
    }
}
