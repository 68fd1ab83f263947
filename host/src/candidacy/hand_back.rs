//! Lets the leader of a group make way for the host that should lead it, once that stands behind it in the queue.
//!
//! Nobody is stopped for it: the gate says that way is asked for, and the duty returns when nothing of it runs. Who follows
//! in the queue need not be the one: it passes the term on before it begins, so leadership is where it belongs after at
//! most two such terms.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::preference::{Behind, Trust, among_hosts};
use super::rear::{self, LOOK_GAP, POLL, Rear};
use super::seats::Seat;
use crate::capability::Gate;
use crate::coordinator::{Error, Watch, settled};

/// What one term of a group's leader needs, to see who should lead.
#[derive(Clone)]
pub(super) struct HandBack {
    pub rear: Rear,
    pub seat: Seat,
    pub trust: Trust,
    pub token: i64,
    /// On the boot clock.
    pub granted_at: Duration,
}

/// What a look shows, and what else may change it than the seats.
struct Look {
    /// The host that should lead stands ready.
    heir: Option<String>,
    watch: Option<Watch>,
    again_in: Option<Duration>,
}

impl HandBack {
    /// Whom to pass leadership on to before the term begins: the group's first host, where it stood behind this one in the
    /// `queue` in which this one was first, and still stands. The group moves anyway, so no other reason is needed.
    pub(super) async fn at_once(self, queue: Vec<String>) -> Option<String> {
        let seats = self.seat.seats.borrow().clone();
        let first = seats.first_but(&self.seat.host, self.seat.group).filter(|first| self.trust.is_whole(first))?;
        let behind = self.rear.read(&queue, &[]).await.ok()?;
        among_hosts(&behind, |host| seats.live.contains_key(host))
            .any(|one| one.identifier == first)
            .then(|| first.to_owned())
    }

    /// Asks for way at the gate for as long as there is a reason to. Never returns: nobody resigns for it.
    pub(super) async fn ask(mut self, gate: Arc<Gate>) -> String {
        let mut behind = Vec::new();
        loop {
            let Look { heir, watch, again_in } = match self.look(&mut behind).await {
                Ok(look) => look,
                // The driver hears of it too.
                Err(Error::Lost) => return pending().await,
                Err(error) if error.is_unknown() => {
                    settled(self.rear.session.as_ref()).await;
                    continue;
                }
                Err(error) => {
                    warn!(election = self.rear.election, %error, "can't see who stands in the election");
                    Look { heir: None, watch: None, again_in: Some(POLL) }
                }
            };
            match heir {
                Some(heir) if !*gate.way_asked().borrow() => {
                    info!(election = self.rear.election, heir, "is to make way for the host that should lead");
                    gate.ask_way();
                }
                Some(_) => {}
                None => gate.ask_way_no_more(),
            }
            tokio::select! {
                biased;
                () = rear::fired(watch) => tokio::time::sleep(LOOK_GAP).await,
                () = rear::passed(again_in) => {}
                () = changed(&mut self.seat) => {}
            }
        }
    }

    async fn look(&mut self, behind: &mut Vec<Behind>) -> Result<Look, Error> {
        let seats = self.seat.seats.borrow_and_update().clone();
        let Some(heir) = seats.claims(&self.seat.host, self.seat.group, self.token) else {
            return Ok(Look { heir: None, watch: None, again_in: None });
        };
        let patience = self.trust.patience(heir, self.seat.hold);
        let left = self.granted_at.saturating_add(patience).saturating_sub(self.rear.clock.boot());
        if !left.is_zero() {
            return Ok(Look { heir: None, watch: None, again_in: Some(left) });
        }
        let watch = self.rear.look(behind).await?;
        let again_in = watch.is_none().then_some(POLL);
        let ready = among_hosts(behind, |host| seats.live.contains_key(host)).any(|one| one.identifier == heir);
        Ok(Look { heir: ready.then(|| heir.to_owned()), watch, again_in })
    }
}

async fn changed(seat: &mut Seat) {
    // An error: nobody looks after the seats any more, and they stay as they are.
    if seat.seats.changed().await.is_err() {
        pending().await
    }
}
