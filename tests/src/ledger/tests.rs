//! Forged run states, one after another.

use silverback::registry::{Digest, JobFile};
use silverback::scheduler::plan::{Active, Kept, Occasion, Phase, Reason};

use super::*;
use crate::oracle::Finding;
use crate::txn_log::{Deed, Write};

const MADE: &str = "2026-01-01T00:00:00Z";

fn second(second: i64) -> Timestamp {
    MADE.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(second)
}

/// A job that ticks every second, and what is committed of it.
struct Desk {
    transactions: Vec<Transaction>,
    state: JobState,
    version: i32,
}

impl Desk {
    fn new(policies: &str) -> Self {
        let text = format!(
            "tenant = \"acme\"\nname = \"chore\"\ncomponent = \"chore.wasm\"\ntrigger = \"schedule\"\n\
             schedule = \"@every 1s\"\n{policies}"
        );
        let spec = JobFile::parse(&text, std::path::Path::new("")).unwrap().into_spec(Digest::of(b"chore"));
        let mut desk = Desk { transactions: Vec::new(), state: JobState::default(), version: 0 };
        desk.commit(0, vec![("jobs/acme/chore", serde_json::to_vec(&spec).unwrap(), 0)]);
        desk
    }

    fn commit(&mut self, at: i64, writes: Vec<(&str, Vec<u8>, i32)>) {
        let write = |(path, value, version)| Write { path: format!("/silverback/{path}"), value, version };
        let deed = Deed::Wrote(writes.into_iter().map(write).collect());
        let zxid = self.transactions.len() as i64 + 1;
        self.transactions.push(Transaction { zxid, time_ms: second(at).as_millisecond(), session: 1, deed });
    }

    /// Writes the run state as it is now, and a count with it where there is one.
    fn write(&mut self, at: i64, count: Option<i32>) {
        let mut writes = vec![("runs/acme/chore", self.state.to_bytes(), self.version)];
        writes.extend(count.map(|count| ("state/acme/chore/count", count.to_string().into_bytes(), count - 1)));
        self.commit(at, writes);
        self.version += 1;
    }

    fn begin(&mut self, tick: i64) {
        let phase = Phase::Begun { nonce: tick as u32, at: second(tick), deadline: second(tick + 60) };
        self.state.cursor = Some(second(tick));
        self.state.active.push(Active { of: Occasion::Tick(second(tick)), attempt: 1, phase });
        self.write(tick, None);
    }

    fn push(&mut self, tick: i64, outcome: Outcome, ended: i64, detail: &str) {
        let detail = detail.to_owned();
        let kept =
            Kept { of: Occasion::Tick(second(tick)), attempt: 1, outcome, ended: second(ended), took_ms: 0, detail };
        self.state.outcomes.push_front(kept);
    }

    fn end(&mut self, tick: i64, at: i64, outcome: Outcome, count: Option<i32>) {
        self.state.active.clear();
        self.push(tick, outcome, at, "");
        self.write(at, count);
    }

    fn story(&self) -> Story {
        let mut ledger = Ledger::read("/silverback", &self.transactions);
        ledger.stories.pop_first().unwrap().1
    }
}

#[test]
fn runs_are_told_with_their_ends_and_skips_with_their_reasons() {
    let mut desk = Desk::new("");
    desk.begin(1);
    desk.end(1, 1, Outcome::Succeeded, Some(1));
    desk.begin(2);
    desk.state.cursor = Some(second(3));
    desk.push(3, Outcome::Skipped, 3, Reason::Overlapped.as_str());
    desk.write(3, None);
    desk.end(2, 4, Outcome::Unknown, None);
    let story = desk.story();
    let ran = |tick, end, outcome, retryable| {
        let (tick, ended) = (second(tick), Some((second(end), outcome)));
        Seen::Ran(Ran { tick, attempt: 1, began: tick, ended, retryable })
    };
    let skipped = Seen::Skipped { first: second(3), before: None, reason: Reason::Overlapped, at: second(3) };
    let wanted = [ran(1, 1, Outcome::Succeeded, None), ran(2, 4, Outcome::Unknown, None), skipped];
    assert_eq!(story.seen, wanted);
    assert_eq!((story.broken.as_slice(), story.count, story.inferred), ([].as_slice(), 1, 0));
    assert_eq!(story.judge(second(3)).findings, []);
}

#[test]
fn a_count_without_its_run_and_a_run_without_its_count_are_told() {
    let mut desk = Desk::new("");
    desk.begin(1);
    desk.end(1, 1, Outcome::Succeeded, None);
    desk.begin(2);
    desk.end(2, 2, Outcome::Failed, Some(1));
    desk.commit(3, vec![("state/acme/chore/count", b"2".to_vec(), 1)]);
    assert_eq!(desk.story().broken.len(), 3, "{:?}", desk.story().broken);
}

#[test]
fn an_end_after_its_deadline_is_told() {
    let mut desk = Desk::new("");
    desk.begin(1);
    desk.end(1, 70, Outcome::Unknown, None);
    assert!(desk.story().broken[0].contains("after its deadline"), "{:?}", desk.story().broken);
}

#[test]
fn ticks_that_the_run_state_passes_over_are_judged_too() {
    let mut desk = Desk::new("");
    desk.begin(1);
    desk.end(1, 1, Outcome::Succeeded, Some(1));
    desk.begin(3);
    desk.end(3, 3, Outcome::Succeeded, Some(2));
    let story = desk.story();
    assert!(story.seen.contains(&Seen::Untold { tick: second(2), attempt: 1, at: second(3) }));
    assert_eq!(story.judge(second(3)).findings, [], "a later tick had come");
    desk.state.cursor = Some(second(4));
    desk.write(4, None);
    assert_eq!(desk.story().judge(second(4)).findings, [Finding::Unexplained(second(4))]);
}

#[test]
fn what_was_logged_and_never_committed_is_left_out() {
    let mut desk = Desk::new("");
    let (state, version) = (desk.state.clone(), desk.version);
    desk.begin(1);
    (desk.state, desk.version) = (state, version);
    desk.begin(2);
    assert_eq!(desk.story().runs().map(|ran| ran.tick).collect::<Vec<_>>(), [second(2)]);
}

#[test]
#[should_panic(expected = "a version of /silverback/runs/acme/chore is in no log")]
fn a_gap_in_the_logs_is_no_story() {
    let mut desk = Desk::new("");
    desk.begin(1);
    desk.version += 1;
    desk.begin(2);
    desk.story();
}
