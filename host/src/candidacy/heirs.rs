//! Looks whether a more preferred host stands behind this one in the queue.
//!
//! It decides with [`Preference`]; what follows is the driver's.

use std::future::pending;
use std::time::Duration;

use tracing::warn;

use super::preference::{Behind, Preference, Trust};
use super::rear::{self, LOOK_GAP, POLL, Rear};
use crate::coordinator::{Error, Watch, settled};

/// What one term of a host that is not the most preferred needs, to see who is.
#[derive(Clone)]
pub(super) struct Heirs {
    pub rear: Rear,
    pub preference: Preference,
    pub trust: Trust,
}

/// What a look at the queue shows.
enum Look {
    /// Somebody to make way for now.
    Heir(String),
    /// Nobody yet: look again when the watch fires, and after so long.
    Nobody { watch: Option<Watch>, again_in: Option<Duration> },
}

impl Heirs {
    /// Whom to pass leadership on to before the term begins: a host that stood behind this one in the `queue` in which this
    /// one was first, and still stands. None too where that can't be read.
    pub(super) async fn at_once(self, queue: Vec<String>) -> Option<String> {
        let behind = self.rear.read(&queue, &[]).await.ok()?;
        let may = |one: &Behind| self.trust.is_whole(&one.identifier);
        if !behind.iter().any(|one| self.preference.has(&one.identifier) && may(one)) {
            return None;
        }
        let live = self.rear.session.list(&self.preference.live).await.ok()?;
        self.preference.heir(&behind, &live, may).map(str::to_owned)
    }

    /// Returns whom to make way for, once there is a host that has stood behind this one for long enough of its term.
    pub(super) async fn in_time(self) -> String {
        let mut behind = Vec::new();
        // Nobody's time has come yet, and a guest is about to start.
        tokio::time::sleep(LOOK_GAP).await;
        loop {
            match self.look(&mut behind).await {
                Ok(Look::Heir(heir)) => return heir,
                Ok(Look::Nobody { watch, again_in }) => {
                    tokio::select! {
                        biased;
                        () = rear::fired(watch) => tokio::time::sleep(LOOK_GAP).await,
                        () = rear::passed(again_in) => {}
                    }
                }
                // The driver hears of it too.
                Err(Error::Lost) => return pending().await,
                Err(error) if error.is_unknown() => settled(self.rear.session.as_ref()).await,
                Err(error) => {
                    warn!(election = self.rear.election, %error, "can't see who stands in the election");
                    tokio::time::sleep(POLL).await;
                }
            }
        }
    }

    /// `behind`: those of the look before.
    async fn look(&self, behind: &mut Vec<Behind>) -> Result<Look, Error> {
        let watch = self.rear.look(behind).await?;
        let now = self.rear.clock.boot();
        let left = |one: &Behind| {
            let patience = self.trust.patience(&one.identifier, self.preference.after);
            one.since.saturating_add(patience).saturating_sub(now)
        };
        let preferred = || behind.iter().filter(|one| self.preference.has(&one.identifier));
        if preferred().any(|one| left(one).is_zero()) {
            let live = self.rear.session.list(&self.preference.live).await?;
            if let Some(heir) = self.preference.heir(behind, &live, |one| left(one).is_zero()) {
                return Ok(Look::Heir(heir.to_owned()));
            }
        }
        // Whoever's time has come and is no heir may become one without a change of the queue: when its host is seen.
        let next = preferred().map(left).map(|left| if left.is_zero() { POLL } else { left }).min();
        let again_in = if watch.is_none() { Some(next.map_or(POLL, |next| next.min(POLL))) } else { next };
        Ok(Look::Nobody { watch, again_in })
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;

    use super::*;
    use crate::capability::fakes::{CONTENDER, FakeClock, FakeSession, term};
    use crate::clock::Clock;

    const AFTER: Duration = Duration::from_secs(30);
    const LIVE: &str = "/zoo/hosts";

    /// Of a host that leads `/election` and makes way for `a`, on a clock that stands still.
    fn leading() -> (Heirs, Arc<FakeSession>, Arc<FakeClock>) {
        let clock = FakeClock::new();
        let (_, session) = term(clock.clone(), AFTER);
        let (election, _) = CONTENDER.rsplit_once('/').unwrap();
        session.remove(CONTENDER);
        session.put(&format!("{election}/{}", contender(0)), b"c");
        session.put(&format!("{LIVE}/c"), b"");
        let heirs = Heirs {
            rear: Rear {
                session: session.clone(),
                clock: clock.clone(),
                election: election.to_owned(),
                me: contender(0),
            },
            preference: Preference { hosts: vec!["a".to_owned()], after: AFTER, live: LIVE.to_owned() },
            trust: Trust::default(),
        };
        (heirs, session, clock)
    }

    fn contender(number: u32) -> String {
        format!("{number}__lock__{number:010}")
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_watched_is_looked_at_now_and_then() {
        let (heirs, session, clock) = leading();
        session.fill_watches();
        let mut heir = pin!(heirs.in_time());
        assert_eq!(within(POLL, &mut heir).await, None, "there is nobody");
        session.put(&format!("{LIVE}/a"), b"");
        session.put(&format!("/election/{}", contender(1)), b"a");
        assert_eq!(within(POLL * 2, &mut heir).await, None, "it has not stood there for long enough");
        clock.advance(AFTER);
        assert_eq!(within(POLL * 2, &mut heir).await.as_deref(), Some("a"));
    }

    #[tokio::test]
    async fn a_look_says_how_long_nothing_but_a_change_of_the_queue_matters() {
        let (heirs, session, clock) = leading();
        let mut behind = Vec::new();
        let look = async |behind: &mut Vec<Behind>| match heirs.look(behind).await.unwrap() {
            Look::Heir(heir) => Err(heir),
            Look::Nobody { watch, again_in } => Ok((watch.is_some(), again_in)),
        };
        session.put(&format!("/election/{}", contender(1)), b"d");
        assert_eq!(look(&mut behind).await, Ok((true, None)), "nobody who is preferred");
        session.put(&format!("/election/{}", contender(2)), b"a");
        assert_eq!(look(&mut behind).await, Ok((true, Some(AFTER))));
        clock.advance(AFTER / 2);
        assert_eq!(look(&mut behind).await, Ok((true, Some(AFTER / 2))));
        clock.advance(AFTER / 2);
        assert_eq!(look(&mut behind).await, Ok((true, Some(POLL))), "no host of the cluster is seen behind");
        session.put(&format!("{LIVE}/a"), b"");
        assert_eq!(look(&mut behind).await, Ok((true, Some(POLL))), "another's contender stands between");
        session.put(&format!("{LIVE}/d"), b"");
        assert_eq!(look(&mut behind).await, Err("a".to_owned()));
    }

    #[tokio::test]
    async fn a_term_is_passed_on_to_who_stood_in_the_queue_and_stands_there_still() {
        let (heirs, session, _) = leading();
        session.put(&format!("{LIVE}/a"), b"");
        let queue = || vec![contender(0), contender(1)];
        assert_eq!(heirs.clone().at_once(queue()).await, None, "it went meanwhile");
        session.put(&format!("/election/{}", contender(1)), b"a");
        assert_eq!(heirs.clone().at_once(vec![contender(0)]).await, None, "it came later");
        assert_eq!(heirs.clone().at_once(queue()).await.as_deref(), Some("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_let_go_of_what_it_got_is_waited_for_twice_as_long_and_not_passed_to() {
        let (mut heirs, session, clock) = leading();
        heirs.trust.made_way("a".to_owned(), clock.boot());
        heirs.trust.leads_again(clock.boot(), AFTER);
        session.put(&format!("{LIVE}/a"), b"");
        session.put(&format!("/election/{}", contender(1)), b"a");
        assert_eq!(heirs.clone().at_once(vec![contender(0), contender(1)]).await, None);
        let mut heir = pin!(heirs.in_time());
        assert_eq!(within(LOOK_GAP * 2, &mut heir).await, None);
        clock.advance(AFTER);
        assert_eq!(within(AFTER * 2, &mut heir).await, None);
        clock.advance(AFTER);
        assert_eq!(within(AFTER * 2, &mut heir).await.as_deref(), Some("a"));
    }

    async fn within(time: Duration, heir: impl Future<Output = String>) -> Option<String> {
        tokio::time::timeout(time, heir).await.ok()
    }
}
