//! A session over a network: what a host asks is a message that is delivered, answered or lost as the run decides.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{oneshot, watch};

use super::dice::Dice;
use super::link::Outbox;
use super::mutations::Mutation;
use super::signal::Signal;
use crate::coordinator::{CreateMode, Error, MultiError, Op, OpResult, Session, SessionState, Stat, Watch};

/// A request on its way to the server, or its answer on its way back.
pub(super) trait Message: Send {
    /// What it writes; nothing where it only reads.
    fn ops(&self) -> &[Op];
    /// Drops the checks of what it writes.
    fn uncheck(&mut self);
    /// The server does it. True where it was not refused.
    fn deliver(&mut self, server: &dyn Session) -> bool;
    /// The host hears what came of it.
    fn answer(self: Box<Self>);
    /// The host hears this instead.
    fn lose(self: Box<Self>, error: Error);
}

type Work<T> = Box<dyn for<'a> FnOnce(&'a dyn Session, Vec<Op>) -> BoxFuture<'a, Result<T, Error>> + Send>;

struct Request<T> {
    ops: Vec<Op>,
    work: Option<Work<T>>,
    answer: Option<Result<T, Error>>,
    is_good: fn(&T) -> bool,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<T: Send> Message for Request<T> {
    fn ops(&self) -> &[Op] {
        &self.ops
    }

    fn uncheck(&mut self) {
        self.ops.retain(|op| !matches!(op, Op::Check { .. }));
    }

    fn deliver(&mut self, server: &dyn Session) -> bool {
        let work = self.work.take().expect("it is delivered once");
        let answer = work(server, self.ops.clone()).now_or_never().expect("the server answers at once");
        let good = answer.as_ref().is_ok_and(self.is_good);
        self.answer = Some(answer);
        good
    }

    fn answer(self: Box<Self>) {
        let answer = self.answer.expect("it was delivered");
        // Whoever asked may have gone.
        let _ = self.reply.send(answer);
    }

    fn lose(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error));
    }
}

/// The host's end of a connection.
pub(super) struct RemoteSession {
    pub(super) id: i64,
    pub(super) timeout: Duration,
    pub(super) opening: Duration,
    pub(super) state: Signal<SessionState>,
    /// False while nothing gets through to the host, whether or not it knows.
    pub(super) hears: Signal<bool>,
    pub(super) outbox: Outbox,
    pub(super) dice: Arc<Mutex<Dice>>,
    pub(super) mutation: Option<Mutation>,
}

impl RemoteSession {
    async fn ask<T: Send + 'static>(&self, ops: Vec<Op>, is_good: fn(&T) -> bool, work: Work<T>) -> Result<T, Error> {
        let mut state = self.state.follow();
        match state.wait_for(|state| *state != SessionState::Disconnected).await.as_deref() {
            Ok(SessionState::Lost) | Err(_) => return Err(Error::Lost),
            Ok(SessionState::Connected | SessionState::Disconnected) => {}
        }
        let (reply, answer) = oneshot::channel();
        let request = Request { ops, work: Some(work), answer: None, is_good, reply };
        self.outbox.lock().unwrap().push(Box::new(request));
        answer.await.unwrap_or(Err(Error::Lost))
    }

    async fn read<T: Send + 'static>(&self, work: Work<T>) -> Result<T, Error> {
        self.ask(Vec::new(), |_| true, work).await
    }

    /// A node's stat as the host is told it, the same whichever way it asks.
    fn told(&self, stat: Option<Stat>) -> Option<Stat> {
        stat.map(|stat| match self.mutation {
            Some(Mutation::TokensFall) => Stat { czxid: i64::MAX - stat.czxid, ..stat },
            Some(_) | None => stat,
        })
    }

    /// An event comes late, and out of order with what else comes.
    fn late(&self, mut watch: Watch) -> Watch {
        let delay = {
            let mut dice = self.dice.lock().unwrap();
            if dice.chance(200) { Duration::from_millis(dice.between(1, 700)) } else { Duration::ZERO }
        };
        let (hears, state) = (self.hears.clone(), self.state.clone());
        let never = self.mutation == Some(Mutation::EventsLost);
        Watch::new(async move {
            watch.changed().await;
            if never {
                std::future::pending::<()>().await;
            }
            let (mut hears, mut state) = (hears.follow(), state.follow());
            tokio::select! {
                biased;
                _ = hears.wait_for(|hears| *hears) => {}
                _ = state.wait_for(|state| *state == SessionState::Lost) => {}
            }
            tokio::time::sleep(delay).await;
        })
    }

    async fn watching<T: Send + 'static>(&self, work: Work<(T, Watch)>) -> Result<(T, Watch), Error> {
        let (value, watch) = self.read(work).await?;
        Ok((value, self.late(watch)))
    }
}

#[async_trait]
impl Session for RemoteSession {
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
        self.state.follow()
    }

    async fn create(&self, path: &str, data: &[u8], mode: CreateMode) -> Result<String, Error> {
        let op = Op::Create { path: path.to_owned(), data: data.to_vec(), mode };
        match self.multi(vec![op]).await.map_err(MultiError::into_error)?.pop() {
            Some(OpResult::Created(path)) => Ok(path),
            other => panic!("a create was answered {other:?}"),
        }
    }

    async fn get(&self, path: &str) -> Result<(Vec<u8>, Stat), Error> {
        let path = path.to_owned();
        self.read(Box::new(move |server, _| async move { server.get(&path).await }.boxed())).await
    }

    async fn stat(&self, path: &str) -> Result<Option<Stat>, Error> {
        let path = path.to_owned();
        let stat = self.read(Box::new(move |server, _| async move { server.stat(&path).await }.boxed())).await?;
        Ok(self.told(stat))
    }

    async fn set(&self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat, Error> {
        let op = Op::Set { path: path.to_owned(), data: data.to_vec(), version };
        match self.multi(vec![op]).await.map_err(MultiError::into_error)?.pop() {
            Some(OpResult::Set(stat)) => Ok(stat),
            other => panic!("a set was answered {other:?}"),
        }
    }

    async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Error> {
        let op = Op::Delete { path: path.to_owned(), version };
        self.multi(vec![op]).await.map(|_| ()).map_err(MultiError::into_error)
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        let path = path.to_owned();
        self.read(Box::new(move |server, _| async move { server.list(&path).await }.boxed())).await
    }

    async fn list_and_stat(&self, path: &str, name: &str) -> Result<(Vec<String>, Option<Stat>), Error> {
        let (path, name) = (path.to_owned(), name.to_owned());
        let work: Work<(Vec<String>, Option<Stat>)> =
            Box::new(move |server, _| async move { server.list_and_stat(&path, &name).await }.boxed());
        let (children, stat) = self.read(work).await?;
        Ok((children, self.told(stat)))
    }

    async fn multi(&self, ops: Vec<Op>) -> Result<Vec<OpResult>, MultiError> {
        let work: Work<Result<Vec<OpResult>, MultiError>> =
            Box::new(|server, ops| async move { Ok(server.multi(ops).await) }.boxed());
        self.ask(ops, Result::is_ok, work).await?
    }

    async fn get_and_watch(&self, path: &str) -> Result<(Option<(Vec<u8>, Stat)>, Watch), Error> {
        let path = path.to_owned();
        self.watching(Box::new(move |server, _| async move { server.get_and_watch(&path).await }.boxed())).await
    }

    async fn stat_and_watch(&self, path: &str) -> Result<(Option<Stat>, Watch), Error> {
        let path = path.to_owned();
        self.watching(Box::new(move |server, _| async move { server.stat_and_watch(&path).await }.boxed())).await
    }

    async fn list_and_watch(&self, path: &str) -> Result<(Vec<String>, Watch), Error> {
        let path = path.to_owned();
        self.watching(Box::new(move |server, _| async move { server.list_and_watch(&path).await }.boxed())).await
    }

    async fn sync(&self, path: &str) -> Result<(), Error> {
        let path = path.to_owned();
        self.read(Box::new(move |server, _| async move { server.sync(&path).await }.boxed())).await
    }

    async fn close(&self) {
        let work: Work<()> = Box::new(|server, _| {
            async move {
                server.close().await;
                Ok(())
            }
            .boxed()
        });
        // Whether it is closed or lost: it is over.
        let _ = self.read(work).await;
    }
}
