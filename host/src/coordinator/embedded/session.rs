//! A session of the embedded coordinator.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};

use super::engine::Engine;
use super::watches::Watched;
use super::world::World;
use crate::coordinator::request::{check_create, check_delete, check_multi, check_path, check_set, child_of};
use crate::coordinator::tree::Node;
use crate::coordinator::{CreateMode, Error, MultiError, Op, OpResult, Session, SessionState, Stat, Watch};

/// See the module. Ends when closed or dropped.
pub(super) struct EmbeddedSession {
    pub(super) id: i64,
    pub(super) timeout: Duration,
    pub(super) opening: Duration,
    pub(super) state: watch::Receiver<SessionState>,
    pub(super) engine: Arc<Engine>,
}

impl EmbeddedSession {
    /// Waits while it is disconnected.
    async fn connected(&self) -> Result<(), Error> {
        let mut state = self.state.clone();
        match state.wait_for(|state| *state != SessionState::Disconnected).await.as_deref() {
            Ok(SessionState::Connected | SessionState::Disconnected) => Ok(()),
            Ok(SessionState::Lost) | Err(_) => Err(Error::Lost),
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut World) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.connected().await?;
        let id = self.id;
        self.engine.run(move |world| world.admit(id).and_then(|()| work(world))).await.map_err(lost)?
    }

    async fn write(&self, ops: Vec<Op>) -> Result<Vec<OpResult>, MultiError> {
        self.connected().await?;
        let id = self.id;
        self.engine.run(move |world| world.write(id, ops)).await.map_err(lost)?
    }

    async fn write_one(&self, op: Op) -> Result<Option<OpResult>, Error> {
        self.write(vec![op]).await.map(|mut results| results.pop()).map_err(MultiError::into_error)
    }

    /// Reads and sets a watch, with nothing in between. The watch is made where it is set, so that a caller who goes
    /// before the answer takes it away.
    async fn read_and_arm<T: Send + 'static>(
        &self,
        watched: Watched,
        path: &str,
        read: impl FnOnce(&World, &str) -> Result<T, Error> + Send + 'static,
    ) -> Result<(T, Watch), Error> {
        check_path(path)?;
        let (session, path, engine) = (self.id, path.to_owned(), Arc::downgrade(&self.engine));
        self.read(move |world| {
            let value = read(world, &path)?;
            let (id, fired) = world.arm(session, watched, &path);
            Ok((value, watch_of(fired, Armed { id, engine })))
        })
        .await
    }

    fn end(&self) -> impl FnOnce(&mut World) + Send + use<> {
        let id = self.id;
        move |world| world.end_session(id)
    }
}

impl Drop for EmbeddedSession {
    fn drop(&mut self) {
        self.engine.post(self.end());
    }
}

fn watch_of(fired: oneshot::Receiver<()>, armed: Armed) -> Watch {
    Watch::new(async move {
        let _armed = armed;
        // Fired, or dropped with everything else.
        let _ = fired.await;
    })
}

/// Takes the watch away when it is dropped. Doesn't keep the file open.
struct Armed {
    id: u64,
    engine: Weak<Engine>,
}

impl Drop for Armed {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.upgrade() {
            let id = self.id;
            engine.post(move |world| world.disarm(id));
        }
    }
}

#[async_trait]
impl Session for EmbeddedSession {
    fn id(&self) -> i64 {
        self.id
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn opening(&self) -> Duration {
        self.opening
    }

    fn state(&self) -> watch::Receiver<SessionState> {
        self.state.clone()
    }

    async fn create(&self, path: &str, data: &[u8], mode: CreateMode) -> Result<String, Error> {
        check_create(path, data, mode)?;
        let op = Op::Create { path: path.to_owned(), data: data.to_vec(), mode };
        match self.write_one(op).await? {
            Some(OpResult::Created(path)) => Ok(path),
            other => Err(unexpected(other)),
        }
    }

    async fn get(&self, path: &str) -> Result<(Vec<u8>, Stat), Error> {
        check_path(path)?;
        let path = path.to_owned();
        self.read(move |world| world.tree.get(&path)).await
    }

    async fn stat(&self, path: &str) -> Result<Option<Stat>, Error> {
        check_path(path)?;
        let path = path.to_owned();
        self.read(move |world| Ok(world.tree.node(&path).map(Node::stat))).await
    }

    async fn set(&self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat, Error> {
        check_set(path, data)?;
        let op = Op::Set { path: path.to_owned(), data: data.to_vec(), version };
        match self.write_one(op).await? {
            Some(OpResult::Set(stat)) => Ok(stat),
            other => Err(unexpected(other)),
        }
    }

    async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Error> {
        check_delete(path)?;
        self.write_one(Op::Delete { path: path.to_owned(), version }).await.map(|_| ())
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        check_path(path)?;
        let path = path.to_owned();
        self.read(move |world| world.tree.list(&path)).await
    }

    async fn list_and_stat(&self, path: &str, name: &str) -> Result<(Vec<String>, Option<Stat>), Error> {
        check_path(path)?;
        let child = child_of(path, name)?;
        let path = path.to_owned();
        self.read(move |world| Ok((world.tree.list(&path)?, world.tree.node(&child).map(Node::stat)))).await
    }

    async fn multi(&self, ops: Vec<Op>) -> Result<Vec<OpResult>, MultiError> {
        check_multi(&ops)?;
        self.write(ops).await
    }

    async fn get_and_watch(&self, path: &str) -> Result<(Option<(Vec<u8>, Stat)>, Watch), Error> {
        self.read_and_arm(Watched::Node, path, |world, path| Ok(world.tree.get(path).ok())).await
    }

    async fn stat_and_watch(&self, path: &str) -> Result<(Option<Stat>, Watch), Error> {
        self.read_and_arm(Watched::Node, path, |world, path| Ok(world.tree.node(path).map(Node::stat))).await
    }

    async fn list_and_watch(&self, path: &str) -> Result<(Vec<String>, Watch), Error> {
        self.read_and_arm(Watched::Children, path, |world, path| world.tree.list(path)).await
    }

    async fn sync(&self, path: &str) -> Result<(), Error> {
        check_path(path)?;
        self.read(|_| Ok(())).await
    }

    async fn close(&self) {
        // Fails where the store has failed, and then the session is lost already.
        let _ = self.engine.run(self.end()).await;
    }
}

/// A file that can't be written has lost all sessions.
fn lost(error: Error) -> Error {
    match error {
        Error::Unusable { .. } => Error::Lost,
        other => other,
    }
}

fn unexpected(result: Option<OpResult>) -> Error {
    Error::Refused { detail: format!("the embedded store answered {result:?}") }
}
