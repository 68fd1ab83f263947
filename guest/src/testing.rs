//! Leader functions tested as plain Rust functions, without a host: a [`Stage`] answers what a host would.
//!
//! Time is the stage's own: a wait takes none, and is counted.
//!
//! ```
//! use std::time::Duration;
//! use silverback_guest::testing::Stage;
//! use silverback_guest::{Grant, RunError, config, leadership, state};
//!
//! fn lead(_: Grant) -> Result<u64, RunError> {
//!     let step = config::get_as("step")?.unwrap_or(1);
//!     while !leadership::should_stop() {
//!         state::increment("beats", step)?;
//!         leadership::sleep(Duration::from_secs(1));
//!     }
//!     Ok(state::get("beats")?.unwrap_or_default())
//! }
//!
//! let stage = Stage::new().config("step", "2").state("beats", &5).stop_after(Duration::from_secs(3));
//! assert_eq!(stage.run(|| lead(stage.grant())).unwrap(), 11);
//! assert_eq!(stage.kept::<u64>("beats"), Some(11));
//! ```
//!
//! What a stage is no test of: limits, grants, and how the host commits; a run's own writes show in its watches at once.
//! `silverback run job.toml` is.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Grant;
use crate::bindings::silverback::leader::leadership::Entry;
use crate::host::{self, Change, Contender, StoreError, Wake};
use crate::http::{Error, Request, Response};
use crate::leadership::millis;

pub use crate::bindings::wasi::logging::logging::Level;

/// How long a lease lasts that is vouched for again and again, in milliseconds.
const LEASE_MS: u64 = 4_000;
/// What is said where leadership is lost, as wit/leader.wit has it.
const REFUSED: &str = "refused: leadership is lost";

/// What plays the host for a leader function. It is for one thread.
#[derive(Clone)]
pub struct Stage(Rc<RefCell<Play>>);

/// A line of the run's log.
#[derive(Clone, Debug)]
pub struct Line {
    /// How weighty.
    pub level: Level,
    /// The target, where it came by the `log` facade.
    pub context: String,
    /// The words.
    pub message: String,
}

impl Default for Stage {
    fn default() -> Self {
        Stage::new()
    }
}

impl Stage {
    /// One that leads for as long as it plays, with no config and nothing in its state.
    pub fn new() -> Self {
        Stage(Rc::new(RefCell::new(Play {
            config: BTreeMap::new(),
            state: BTreeMap::new(),
            revision: 1,
            token: 7,
            now_ms: 0,
            stop_at_ms: None,
            loss_at_ms: None,
            answer: denied(),
            requests: Vec::new(),
            lines: Vec::new(),
            coming: BTreeMap::new(),
        })))
    }

    /// With a value in the job's `[config]` table.
    #[must_use]
    pub fn config(self, key: &str, value: &str) -> Self {
        self.0.borrow_mut().config.insert(key.to_owned(), value.to_owned());
        self
    }

    /// With a value in the job's state.
    ///
    /// # Panics
    /// Where the value can't be written as JSON.
    #[must_use]
    pub fn state<T: Serialize + ?Sized>(self, key: &str, value: &T) -> Self {
        let bytes = serde_json::to_vec(value).expect("a test's value can be written as JSON");
        self.0.borrow_mut().put(key, Some(bytes));
        self
    }

    /// Somebody else writes a value once the function has waited for so long: what it watches changes, and what it reads.
    ///
    /// # Panics
    /// Where the value can't be written as JSON.
    #[must_use]
    pub fn change_after<T: Serialize + ?Sized>(self, waited: Duration, key: &str, value: &T) -> Self {
        let bytes = serde_json::to_vec(value).expect("a test's value can be written as JSON");
        self.0.borrow_mut().coming.entry(millis(waited)).or_default().push((key.to_owned(), bytes));
        self
    }

    /// With this fencing token, rather than 7.
    #[must_use]
    pub fn token(self, token: u64) -> Self {
        self.0.borrow_mut().token = token;
        self
    }

    /// It asks the function to stop once it has waited for so long.
    #[must_use]
    pub fn stop_after(self, waited: Duration) -> Self {
        self.0.borrow_mut().stop_at_ms = Some(millis(waited));
        self
    }

    /// It leads no more once the function has waited for so long: the function is asked to stop, and what it still writes or
    /// sends is refused. (A host would stop it at once; this shows what it does where it isn't quick enough.)
    #[must_use]
    pub fn lose_leadership_after(self, waited: Duration) -> Self {
        self.0.borrow_mut().loss_at_ms = Some(millis(waited));
        self
    }

    /// It answers HTTP requests so. Without, all are denied.
    #[must_use]
    pub fn http(self, answer: impl FnMut(&Request) -> Result<Response, Error> + 'static) -> Self {
        self.0.borrow_mut().answer = Box::new(answer);
        self
    }

    /// Calls `lead` with this stage as its host.
    pub fn run<T>(&self, lead: impl FnOnce() -> T) -> T {
        let _on = host::enter(self.0.clone());
        crate::logger::install();
        lead()
    }

    /// What a first attempt of a scheduled run at 2027-01-01T00:00:00Z is told. For others, change it; a leader job has no
    /// `tick`.
    pub fn grant(&self) -> Grant {
        Grant {
            tenant: "acme".to_owned(),
            job: "job".to_owned(),
            run: "acme/job/2027-01-01T00:00:00Z".to_owned(),
            attempt: 1,
            tick: Some(1_798_761_600_000),
            token: self.0.borrow().token,
            identifier: "stage".to_owned(),
        }
    }

    /// What the state holds under a key.
    ///
    /// # Panics
    /// Where that is no `T`.
    pub fn kept<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let bytes = self.0.borrow().get(key)?;
        Some(serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("key `{key}`: {error}")))
    }

    /// The keys of the state, in order.
    pub fn keys(&self) -> Vec<String> {
        self.0.borrow().keys()
    }

    /// The requests that were sent, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.0.borrow().requests.clone()
    }

    /// What was logged, in order, from `info` up or the level that the config names under `log`.
    pub fn lines(&self) -> Vec<Line> {
        self.0.borrow().lines.clone()
    }

    /// How long the function has waited in all.
    pub fn waited(&self) -> Duration {
        Duration::from_millis(self.0.borrow().now_ms)
    }
}

pub(crate) type Answer = Box<dyn FnMut(&Request) -> Result<Response, Error>>;

fn denied() -> Answer {
    Box::new(|request| Err(Error::Denied { url: request.url().to_owned() }))
}

/// What goes on on a stage.
pub(crate) struct Play {
    config: BTreeMap<String, String>,
    /// Each with the revision that it came with.
    state: BTreeMap<String, (Option<Vec<u8>>, u64)>,
    revision: u64,
    token: u64,
    now_ms: u64,
    stop_at_ms: Option<u64>,
    loss_at_ms: Option<u64>,
    answer: Answer,
    requests: Vec<Request>,
    lines: Vec<Line>,
    /// What others write, by when.
    coming: BTreeMap<u64, Vec<(String, Vec<u8>)>>,
}

impl Play {
    pub(crate) fn config(&self, key: &str) -> Option<String> {
        self.config.get(key).cloned()
    }

    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.state.get(key)?.0.clone()
    }

    pub(crate) fn write(&mut self, key: &str, value: Option<Vec<u8>>) -> Result<(), StoreError> {
        if !self.is_leader() {
            return Err(StoreError::Other(REFUSED.to_owned()));
        }
        self.put(key, value);
        Ok(())
    }

    fn put(&mut self, key: &str, value: Option<Vec<u8>>) {
        self.revision += 1;
        self.state.insert(key.to_owned(), (value, self.revision));
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let there = self.state.iter().filter(|(_, (value, _))| value.is_some());
        there.map(|(key, _)| key.clone()).collect()
    }

    pub(crate) fn increment(&mut self, key: &str, delta: u64) -> Result<u64, StoreError> {
        let held = self.get(key).unwrap_or_else(|| b"0".to_vec());
        let held = std::str::from_utf8(&held).ok().and_then(|text| text.parse::<u64>().ok());
        let Some(sum) = held.and_then(|held| held.checked_add(delta)) else {
            return Err(StoreError::Other(format!("key `{key}` holds no number that {delta} can be added to")));
        };
        self.write(key, Some(sum.to_string().into_bytes())).map(|()| sum)
    }

    pub(crate) fn wait_for_change(&mut self, key: &str, seen: Option<u64>, timeout_ms: u64) -> Change {
        let until = self.now_ms.saturating_add(timeout_ms);
        loop {
            if self.should_stop() {
                return Change::Stop;
            }
            // What is not there has revision 0, as on a host.
            let held = self.state.get(key).cloned().filter(|(value, _)| value.is_some());
            let (value, revision) = held.unwrap_or_default();
            if seen != Some(revision) {
                return Change::Changed(Entry { value, revision });
            }
            let coming = self.coming.keys().next().copied().filter(|at| *at <= until);
            match (self.sleep(coming.unwrap_or(until) - self.now_ms), coming) {
                (Wake::Stop, _) => return Change::Stop,
                (Wake::Elapsed, None) => return Change::Elapsed,
                (Wake::Elapsed, Some(_)) => {}
            }
        }
    }

    /// Time has passed: what others have written is there.
    fn arrive(&mut self) {
        while let Some(first) = self.coming.first_entry().filter(|first| *first.key() <= self.now_ms) {
            for (key, value) in first.remove() {
                self.put(&key, Some(value));
            }
        }
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.loss_at_ms.is_none_or(|loss| self.now_ms < loss)
    }

    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    pub(crate) fn remaining_ms(&self) -> u64 {
        self.loss_at_ms.map_or(LEASE_MS, |loss| loss.saturating_sub(self.now_ms).min(LEASE_MS))
    }

    /// When the function is asked to stop.
    fn stop_ms(&self) -> Option<u64> {
        self.stop_at_ms.into_iter().chain(self.loss_at_ms).min()
    }

    pub(crate) fn should_stop(&self) -> bool {
        self.stop_ms().is_some_and(|stop| self.now_ms >= stop)
    }

    /// # Panics
    /// Where nothing would ever end the wait.
    pub(crate) fn sleep(&mut self, timeout_ms: u64) -> Wake {
        let until = self.now_ms.saturating_add(timeout_ms);
        match self.stop_ms() {
            Some(stop) if stop <= until => {
                self.now_ms = self.now_ms.max(stop);
                self.arrive();
                Wake::Stop
            }
            _ => {
                assert!(until < u64::MAX, "this wait has no end: let the stage end it with `Stage::stop_after`");
                self.now_ms = until;
                self.arrive();
                Wake::Elapsed
            }
        }
    }

    pub(crate) fn contenders(&self) -> Vec<Contender> {
        vec![Contender { identifier: "stage".to_owned(), leader: true }]
    }

    pub(crate) fn log(&mut self, level: Level, context: &str, message: &str) {
        self.lines.push(Line { level, context: context.to_owned(), message: message.to_owned() });
    }

    /// Gives what answers it.
    pub(crate) fn sending(&mut self) -> Result<Answer, Error> {
        match self.is_leader() {
            true => Ok(std::mem::replace(&mut self.answer, denied())),
            false => Err(Error::LostLeadership),
        }
    }

    /// Takes it back.
    pub(crate) fn sent(&mut self, request: Request, answer: Answer) {
        self.answer = answer;
        self.requests.push(request);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config, http, leadership, state};

    #[test]
    fn a_stage_keeps_state_time_and_lines() {
        let stage = Stage::new().config("log", "warn").state("a", "text").stop_after(Duration::from_secs(10));
        stage.run(|| {
            assert_eq!(config::get("log").as_deref(), Some("warn"));
            assert_eq!(state::get::<String>("a").unwrap().as_deref(), Some("text"));
            state::set("b", &[1, 2]).unwrap();
            state::delete("a").unwrap();
            assert_eq!(state::increment("n", 2).unwrap(), 2);
            assert!(state::increment("b", 1).unwrap_err().to_string().contains("`b`"));
            assert_eq!(state::keys().unwrap(), ["b", "n"]);
            let mut watch = state::watch::<u64>("n");
            assert_eq!(watch.next_within(Duration::ZERO).unwrap(), state::Next::Changed(Some(2)));
            assert_eq!(watch.next_within(Duration::from_secs(1)).unwrap(), state::Next::Elapsed);
            assert!(watch.next().is_none(), "it should stop");
            assert!(leadership::should_stop() && leadership::is_leader());
        });
        assert_eq!(stage.waited(), Duration::from_secs(10));
        assert_eq!(
            (stage.keys(), stage.kept::<Vec<u8>>("b")),
            (vec!["b".to_owned(), "n".to_owned()], Some(vec![1, 2]))
        );
    }

    #[test]
    fn a_stage_that_leads_no_more_refuses_what_a_host_would() {
        let stage = Stage::new().token(9).lose_leadership_after(Duration::from_secs(3));
        stage.run(|| {
            assert_eq!((leadership::token(), leadership::remaining()), (9, Duration::from_secs(3)));
            assert_eq!(leadership::sleep(Duration::from_secs(60)), leadership::Wake::Stop);
            assert!(leadership::should_stop() && !leadership::is_leader());
            assert!(matches!(state::set("a", &1), Err(state::Error::LostLeadership)));
            assert_eq!(http::get("http://a"), Err(Error::LostLeadership));
        });
        assert!(stage.keys().is_empty() && stage.requests().is_empty());
    }

    #[test]
    fn a_stage_answers_requests_as_it_was_told() {
        let created = |_: &Request| Ok(Response { status: 201, headers: Vec::new(), body: b"made".to_vec() });
        let stage = Stage::new().http(created);
        let answer = stage.run(|| http::post("http://a/b", "x")).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (201, "made"));
        assert_eq!(stage.requests(), [Request::new("POST", "http://a/b").body("x")]);
        let denied = Stage::new().run(|| http::get("http://a/b"));
        assert_eq!(denied, Err(Error::Denied { url: "http://a/b".to_owned() }));
    }

    #[test]
    fn each_stage_has_a_level_of_its_own_and_an_answer_may_look_at_it() {
        let [loud, quiet] = ["debug", "warn"].map(|level| Stage::new().config("log", level));
        for stage in [&loud, &quiet] {
            stage.run(|| log::debug!("said"));
        }
        assert_eq!((loud.lines().len(), quiet.lines().len()), (1, 0));
        log::error!("nobody hears this, and it is no panic");
        let seen = loud.clone();
        let stage = loud.http(move |_| {
            assert_eq!(seen.kept::<u64>("n"), Some(1), "written before it was told");
            Ok(Response { status: 200, headers: Vec::new(), body: Vec::new() })
        });
        stage.run(|| {
            state::increment("n", 1).unwrap();
            http::get("http://a").unwrap();
        });
        assert_eq!(stage.requests().len(), 1);
    }

    #[test]
    fn what_others_write_is_watched_and_read_when_it_comes() {
        let seconds = Duration::from_secs;
        let stage = Stage::new()
            .change_after(seconds(5), "target", &2)
            .change_after(seconds(2), "target", &1)
            .change_after(seconds(3), "other", "text")
            .stop_after(seconds(10));
        stage.run(|| {
            let mut watch = state::watch::<u64>("target");
            let mut next = |time| watch.next_within(seconds(time)).unwrap();
            assert_eq!(next(0), state::Next::Changed(None));
            assert_eq!(next(1), state::Next::Elapsed);
            assert_eq!(next(5), state::Next::Changed(Some(1)));
            assert_eq!((stage.waited(), state::get::<String>("other").unwrap()), (seconds(2), None));
            assert_eq!(next(60), state::Next::Changed(Some(2)));
            assert_eq!(state::get::<String>("other").unwrap().as_deref(), Some("text"));
            assert_eq!(next(60), state::Next::Stop);
        });
        assert_eq!(stage.waited(), seconds(10));
    }

    #[test]
    fn a_watch_ends_when_the_function_should_stop_whatever_it_writes_itself() {
        let stage = Stage::new().state("n", &0).stop_after(Duration::from_secs(1));
        stage.run(|| {
            for value in state::watch::<u64>("n") {
                assert!(value.unwrap().is_some());
                state::increment("n", 1).unwrap();
                leadership::sleep(Duration::from_millis(400));
            }
        });
        assert_eq!(stage.kept::<u64>("n"), Some(3));
    }

    #[test]
    #[should_panic(expected = "Stage::run")]
    fn without_a_stage_nobody_answers() {
        leadership::is_leader();
    }

    #[test]
    #[should_panic(expected = "this wait has no end")]
    fn a_wait_that_nothing_ends_is_told_rather_than_waited_for() {
        Stage::new().run(|| state::watch::<u64>("n").by_ref().nth(1));
    }
}
