//! Brings one batch of changes to its end: until it is known of each whether it was made.

use std::ops::Range;
use std::sync::Arc;

use futures::future;
use tracing::{debug, warn};

use super::change::{Change, Setback, Written, setback};
use crate::capability::Gate;
use crate::coordinator::{CreateMode, Error, MultiError, Op, Session, ensure_path, repeat, settled};
use crate::runtime::StateWrite;

/// How often a change is tried whose guesses at which keys exist turn out wrong.
const TRIES: u32 = 5;

/// Changes with how they went, each with whose it is.
pub(super) type Settled<K> = Vec<(K, Result<Written, Setback>)>;

/// A change on its way.
pub(super) struct Entry<K> {
    whose: K,
    /// The term that it is made in.
    gate: Arc<Gate>,
    change: Change,
    mistakes: u32,
}

impl<K> Entry<K> {
    pub(super) fn new(whose: K, gate: Arc<Gate>, change: Change) -> Self {
        Entry { whose, gate, change, mistakes: 0 }
    }

    /// How many operations it may take, with the check of its term.
    pub(super) fn ops(&self) -> usize {
        1 + self.change.ops()
    }

    /// How large it may be: paths and values.
    pub(super) fn bytes(&self) -> usize {
        self.gate.contender().len() + self.change.bytes()
    }
}

/// A batch as it is sent.
struct Sendable {
    ops: Vec<Op>,
    /// The terms that are checked, in the order of the first operations.
    gates: Vec<Arc<Gate>>,
    /// Which of the other operations are whose, in the order of the entries.
    places: Vec<Range<usize>>,
}

/// The changes of which it is not known yet, in the pieces that they are sent in, and those that are settled.
struct Batch<K> {
    session: Arc<dyn Session>,
    pieces: Vec<Vec<Entry<K>>>,
    settled: Settled<K>,
}

/// Makes the changes, which are of terms of one session: all in one multi where none of them fails. Gives each with how it
/// went.
pub(super) async fn commit<K: Send + Sync>(entries: Vec<Entry<K>>) -> Settled<K> {
    let Some(session) = entries.first().map(|entry| entry.gate.session().clone()) else { return Vec::new() };
    let mut batch = Batch { session, pieces: vec![entries], settled: Vec::new() };
    while let Some(piece) = batch.pieces.pop() {
        let piece = batch.drop_too_late(piece);
        if !piece.is_empty() {
            batch.send(piece).await;
        }
    }
    batch.settled
}

impl<K: Send + Sync> Batch<K> {
    /// What begins something is not sent once its term is over.
    fn drop_too_late(&mut self, piece: Vec<Entry<K>>) -> Vec<Entry<K>> {
        let is_too_late = |entry: &Entry<K>| entry.change.condition.is_some() && entry.gate.is_over();
        let (too_late, rest): (Vec<_>, Vec<_>) = piece.into_iter().partition(is_too_late);
        self.fail(too_late, || Setback::Lost);
        rest
    }

    async fn send(&mut self, piece: Vec<Entry<K>>) {
        let sendable = match self.sendable(&piece).await {
            Ok(sendable) => sendable,
            Err(Error::Lost) => return self.fail(piece, || Setback::Lost),
            Err(error) => return self.part(piece, error),
        };
        match self.session.multi(sendable.ops).await {
            Ok(_) => self.made(piece),
            Err(MultiError::Whole(Error::Lost)) => self.fail(piece, || Setback::Unknown),
            Err(MultiError::Whole(error)) if error.is_unknown() => self.find_out(piece).await,
            Err(MultiError::Whole(error)) => self.part(piece, error),
            Err(MultiError::Op { index, source }) if index < sendable.gates.len() && is_of_a_node(&source) => {
                self.without_term(piece, &sendable.gates[index]);
            }
            Err(MultiError::Op { index, source }) => {
                let at = sendable.places.iter().position(|place| place.contains(&index));
                match at {
                    Some(at) => self.without(piece, at, index - sendable.places[at].start, source).await,
                    None => self.part(piece, source),
                }
            }
        }
    }

    /// All of it was refused: by halves it shows which of them is to blame.
    fn part(&mut self, mut piece: Vec<Entry<K>>, error: Error) {
        if piece.len() == 1 {
            let mut error = Some(error);
            return self.fail(piece, || Setback::Refused(error.take().expect("there is one")));
        }
        debug!(changes = piece.len(), %error, "a batch is refused and sent by halves");
        let other = piece.split_off(piece.len() / 2);
        self.pieces.extend([other, piece]);
    }

    /// A term is over; what is of others goes again without it.
    fn without_term(&mut self, piece: Vec<Entry<K>>, gate: &Arc<Gate>) {
        let (lost, rest) = piece.into_iter().partition(|entry| Arc::ptr_eq(&entry.gate, gate));
        self.fail(lost, || Setback::Lost);
        self.pieces.push(rest);
    }

    /// The one at `at` failed at the operation `op` of its own; the others go again without it.
    async fn without(&mut self, mut piece: Vec<Entry<K>>, at: usize, op: usize, error: Error) {
        let mut entry = piece.remove(at);
        self.pieces.push(piece);
        let state_at = usize::from(entry.change.job_op().is_some());
        let mended = match op {
            _ if !is_of_a_node(&error) => Err(Setback::Refused(error.clone())),
            _ if op < state_at && matches!(error, Error::NoNode { .. }) => Err(Setback::JobMissing),
            _ if op < state_at => Err(Setback::JobChanged),
            _ if op == state_at && matches!(error, Error::NoNode { .. }) => self.restore_state(&mut entry.change).await,
            _ if op == state_at => Err(Setback::StateChanged),
            _ => {
                debug!(path = entry.change.path, %error, "a change is tried again");
                self.make_place(&error).await
            }
        };
        entry.mistakes += 1;
        let failed = match mended {
            Err(failed) => failed,
            Ok(()) if entry.mistakes < TRIES => return self.pieces.push(vec![entry]),
            Ok(()) => {
                let detail = format!("`{}` was tried {TRIES} times: {error}", entry.change.path);
                Setback::Refused(Error::Refused { detail })
            }
        };
        self.settled.push((entry.whose, Err(failed)));
    }

    /// The run state is missing, or the directory above it. Somebody deleted it, unless it went with its job: so it is created
    /// from what this term knows, if the job exists. Only the leader writes run states, so nothing is overwritten.
    async fn restore_state(&self, change: &mut Change) -> Result<(), Setback> {
        if change.version.is_some() {
            change.recreate();
            return Ok(());
        }
        let Some((directory, _)) = change.path.rsplit_once('/') else { return Err(Setback::StateChanged) };
        let session = self.session.as_ref();
        repeat(session, || ensure_path(session, directory)).await.map_err(setback)?;
        warn!(node = directory, "the directory of run states was missing, and is made again");
        Ok(())
    }

    /// Looks whether a multi whose outcome is not known was done; what was not done is sent again.
    async fn find_out(&mut self, piece: Vec<Entry<K>>) {
        settled(self.session.as_ref()).await;
        let looks = future::join_all(piece.iter().map(|entry| self.is_made(&entry.change))).await;
        let mut again = Vec::new();
        for (entry, look) in piece.into_iter().zip(looks) {
            match look {
                Ok(true) => self.made(vec![entry]),
                Ok(false) => again.push(entry),
                Err(failed) => self.settled.push((entry.whose, Err(failed))),
            }
        }
        self.pieces.push(again);
    }

    /// Then the node holds just what was written, one version on.
    async fn is_made(&self, change: &Change) -> Result<bool, Setback> {
        let session = &self.session;
        let look = || async {
            session.sync(&change.path).await?;
            session.get(&change.path).await
        };
        match repeat(session.as_ref(), look).await {
            Ok((value, stat)) => Ok(stat.version == change.next_version() && value == change.data),
            Err(Error::NoNode { .. }) => Ok(false),
            Err(Error::Lost) => Err(Setback::Unknown),
            Err(other) => Err(Setback::Refused(other)),
        }
    }

    async fn sendable(&self, piece: &[Entry<K>]) -> Result<Sendable, Error> {
        let writes = future::try_join_all(piece.iter().map(|entry| self.write_ops(&entry.change))).await?;
        let mut gates: Vec<Arc<Gate>> = Vec::new();
        for entry in piece {
            if !gates.iter().any(|gate| Arc::ptr_eq(gate, &entry.gate)) {
                gates.push(entry.gate.clone());
            }
        }
        let mut ops: Vec<Op> = gates.iter().map(|gate| gate.check()).collect();
        let mut places = Vec::with_capacity(piece.len());
        for (entry, writes) in piece.iter().zip(writes) {
            let start = ops.len();
            ops.extend(entry.change.job_op());
            ops.push(entry.change.state_op());
            ops.extend(writes);
            places.push(start..ops.len());
        }
        Ok(Sendable { ops, gates, places })
    }

    async fn write_ops(&self, change: &Change) -> Result<Vec<Op>, Error> {
        let looks = change.writes.iter().map(|write| self.write_op(write));
        Ok(future::try_join_all(looks).await?.into_iter().flatten().collect())
    }

    /// None where there is nothing to do: a delete of what isn't there.
    async fn write_op(&self, write: &StateWrite) -> Result<Option<Op>, Error> {
        if write.added.is_some() {
            return self.add_op(write).await;
        }
        let session = &self.session;
        let path = write.path.clone();
        let exists = repeat(session.as_ref(), || session.stat(&path)).await?.is_some();
        Ok(match (&write.value, exists) {
            (Some(data), true) => Some(Op::Set { path, data: data.clone(), version: None }),
            (Some(data), false) => Some(Op::Create { path, data: data.clone(), mode: CreateMode::Persistent }),
            (None, true) => Some(Op::Delete { path, version: None }),
            (None, false) => None,
        })
    }

    /// At the version that is read: what another run of the job has added since this one looked is not lost.
    async fn add_op(&self, write: &StateWrite) -> Result<Option<Op>, Error> {
        let session = &self.session;
        let path = write.path.clone();
        let found = match repeat(session.as_ref(), || session.get(&path)).await {
            Ok(found) => Some(found),
            Err(Error::NoNode { .. }) => None,
            Err(other) => return Err(other),
        };
        let value = write.value_on(found.as_ref().map(|(value, _)| value.as_slice()));
        let value = value.map_err(|error| Error::Refused { detail: error.to_string() })?;
        Ok(value.map(|data| match found {
            Some((_, stat)) => Op::Set { path, data, version: Some(stat.version) },
            None => Op::Create { path, data, mode: CreateMode::Persistent },
        }))
    }

    /// A key that can't be created may lack its directory: a job that was deleted and made again at once loses it to the
    /// deletion's last step.
    async fn make_place(&self, mistake: &Error) -> Result<(), Setback> {
        let Error::NoNode { path } = mistake else { return Ok(()) };
        let Some((directory, _)) = path.rsplit_once('/') else { return Ok(()) };
        let session = self.session.as_ref();
        repeat(session, || ensure_path(session, directory)).await.map_err(setback)?;
        warn!(node = directory, "the directory of a job's keys was missing, and is made again");
        Ok(())
    }

    fn made(&mut self, piece: Vec<Entry<K>>) {
        let made = |entry: Entry<K>| {
            if entry.change.recreates {
                warn!(
                    node = entry.change.path,
                    "a job's run state was missing, and is made again with all that it held"
                );
            }
            (entry.whose, Ok(Written { version: entry.change.next_version() }))
        };
        self.settled.extend(piece.into_iter().map(made));
    }

    fn fail(&mut self, piece: Vec<Entry<K>>, mut why: impl FnMut() -> Setback) {
        self.settled.extend(piece.into_iter().map(|entry| (entry.whose, Err(why()))));
    }
}

/// What a node that isn't as it was expected gives.
fn is_of_a_node(error: &Error) -> bool {
    matches!(error, Error::NoNode { .. } | Error::NodeExists { .. } | Error::BadVersion { .. })
}
