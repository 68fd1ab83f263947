//! A session with an ensemble.

use std::fmt::Debug;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tracing::error;
use zookeeper_client as zk;

use super::error::{translate, translate_multi};
use super::watched::{Share, WatchedBytes};
use crate::coordinator::request::{check_create, check_delete, check_multi, check_path, check_set, child_of};
use crate::coordinator::{CreateMode, Error, MultiError, Op, OpResult, Session, SessionState, Stat, Watch, settled};

/// How long [`Session::close`] waits for the server. A session that is disconnected is not waited for longer; the server
/// then ends it by its timeout.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// How often a read is sent whose reply is lost with the connection. Reading twice changes nothing, so whoever only asks
/// needn't hear of a server that went away; bounded, since a failure that is no broken connection may come each time.
const READ_TRIES: u32 = 8;

/// See the module. Ends when closed or dropped.
pub(super) struct ZooKeeperSession {
    id: i64,
    timeout: Duration,
    opening: Duration,
    /// None once it is closed: the library ends a session when its last client is dropped.
    client: Mutex<Option<zk::Client>>,
    state: Arc<watch::Sender<SessionState>>,
    /// True once the library has ended the session.
    ended: watch::Receiver<bool>,
    watched: WatchedBytes,
}

impl ZooKeeperSession {
    pub(super) fn new(client: zk::Client, opening: Duration, chroot_bytes: usize) -> Self {
        let state = Arc::new(watch::Sender::new(SessionState::Connected));
        let (end, ended) = watch::channel(false);
        let watcher = client.state_watcher();
        tokio::spawn(follow(watcher, client.state(), Arc::clone(&state), end));
        ZooKeeperSession {
            id: client.session_id().0,
            timeout: client.session_timeout(),
            opening,
            client: Mutex::new(Some(client)),
            state,
            ended,
            watched: WatchedBytes::below(chroot_bytes),
        }
    }

    fn client(&self) -> Result<zk::Client, Error> {
        if *self.state.borrow() == SessionState::Lost {
            return Err(Error::Lost);
        }
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Error::Lost)
    }

    /// The end, whoever says so: calls and watches return, and the library is told to end the session.
    fn lose(&self) {
        self.state.send_replace(SessionState::Lost);
        drop(self.client.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// The outcome of a request, or [`Error::Lost`] when the session is lost first.
    async fn settle<T>(&self, path: &str, request: impl Future<Output = Result<T, zk::Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            outcome = request => outcome.map_err(|error| translate(path, error)),
            () = lost(self.state.subscribe()) => Err(Error::Lost),
        }
    }

    /// As [`Self::settle`], sent again where the reply was lost.
    async fn read<T, F>(&self, path: &str, request: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, zk::Error>>,
    {
        for _ in 1..READ_TRIES {
            match self.settle(path, request()).await {
                Err(error) if error.is_unknown() => settled(self).await,
                answered => return answered,
            }
        }
        self.settle(path, request()).await
    }

    /// The library takes over whatever session a server offers on a reconnect and doesn't say so. A node of ours that
    /// belongs to another session shows it.
    fn check_owner(&self, mode: CreateMode, stat: &zk::Stat) -> Result<(), Error> {
        // Zero or less: the stat that 3.8.0 makes up in a multi (ZOOKEEPER-4026).
        if !mode.is_ephemeral() || stat.czxid <= 0 || stat.ephemeral_owner == self.id {
            return Ok(());
        }
        error!("the server answered with another session, this one is lost");
        self.lose();
        Err(Error::Lost)
    }

    fn watch(&self, watcher: zk::OneshotWatcher, share: Share) -> Watch {
        let state = self.state.subscribe();
        Watch::new(async move {
            let _share = share;
            tokio::select! {
                biased;
                () = lost(state) => {}
                _ = watcher.changed() => {}
            }
        })
    }
}

/// Tells what the library says of the session, until that is final.
///
/// A change from connected to connected: it was disconnected in between.
async fn follow(
    mut watcher: zk::StateWatcher,
    first: zk::SessionState,
    state: Arc<watch::Sender<SessionState>>,
    end: watch::Sender<bool>,
) {
    let mut now = first;
    loop {
        let told = match now {
            zk::SessionState::SyncConnected | zk::SessionState::ConnectedReadOnly => SessionState::Connected,
            zk::SessionState::Disconnected => SessionState::Disconnected,
            zk::SessionState::AuthFailed | zk::SessionState::Expired | zk::SessionState::Closed => SessionState::Lost,
        };
        state.send_if_modified(|state| {
            // Lost is final, also where it was said here and not by the library.
            let open = *state != SessionState::Lost;
            if open {
                *state = told;
            }
            open
        });
        if told == SessionState::Lost {
            end.send_replace(true);
            return;
        }
        now = watcher.changed().await;
    }
}

/// Returns when the session is lost, or everything about it is gone.
async fn lost(mut state: watch::Receiver<SessionState>) {
    let _ = state.wait_for(|state| *state == SessionState::Lost).await;
}

#[async_trait]
impl Session for ZooKeeperSession {
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
        self.state.subscribe()
    }

    async fn create(&self, path: &str, data: &[u8], mode: CreateMode) -> Result<String, Error> {
        check_create(path, data, mode)?;
        let client = self.client()?;
        let (stat, number) = self.settle(path, client.create(path, data, &options(mode))).await?;
        self.check_owner(mode, &stat)?;
        Ok(if mode.is_sequential() { format!("{path}{number}") } else { path.to_owned() })
    }

    async fn get(&self, path: &str) -> Result<(Vec<u8>, Stat), Error> {
        check_path(path)?;
        let client = self.client()?;
        let (data, stat) = self.read(path, || client.get_data(path)).await?;
        Ok((data, stat.into()))
    }

    async fn stat(&self, path: &str) -> Result<Option<Stat>, Error> {
        check_path(path)?;
        let client = self.client()?;
        Ok(self.read(path, || client.check_stat(path)).await?.map(Stat::from))
    }

    async fn set(&self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat, Error> {
        check_set(path, data)?;
        let client = self.client()?;
        Ok(self.settle(path, client.set_data(path, data, version)).await?.into())
    }

    async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Error> {
        check_delete(path)?;
        let client = self.client()?;
        self.settle(path, client.delete(path, version)).await
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        check_path(path)?;
        let client = self.client()?;
        let mut names = self.read(path, || client.list_children(path)).await?;
        names.sort_unstable();
        Ok(names)
    }

    async fn list_and_stat(&self, path: &str, name: &str) -> Result<(Vec<String>, Option<Stat>), Error> {
        check_path(path)?;
        let child = child_of(path, name)?;
        let client = self.client()?;
        let results = self.read(path, || async {
            let mut reader = client.new_multi_reader();
            reader.add_get_children(path)?;
            reader.add_get_data(&child)?;
            reader.commit().await
        });
        match <[zk::MultiReadResult; 2]>::try_from(results.await?) {
            Ok([zk::MultiReadResult::Children { mut children }, one]) => {
                children.sort_unstable();
                match one {
                    zk::MultiReadResult::Data { stat, .. } => Ok((children, Some(stat.into()))),
                    zk::MultiReadResult::Error { err: zk::Error::NoNode } => Ok((children, None)),
                    zk::MultiReadResult::Error { err } => Err(translate(&child, err)),
                    other => Err(unexpected(&other)),
                }
            }
            Ok([zk::MultiReadResult::Error { err }, _]) => Err(translate(path, err)),
            other => Err(unexpected(&other)),
        }
    }

    async fn get_each(&self, paths: &[String]) -> Result<Vec<Option<(Vec<u8>, Stat)>>, Error> {
        let Some(first) = paths.first() else { return Ok(Vec::new()) };
        paths.iter().try_for_each(|path| check_path(path))?;
        let client = self.client()?;
        let results = self.read(first, || async {
            let mut reader = client.new_multi_reader();
            paths.iter().try_for_each(|path| reader.add_get_data(path))?;
            reader.commit().await
        });
        let found = paths.iter().zip(results.await?);
        found
            .map(|(path, result)| match result {
                zk::MultiReadResult::Data { data, stat } => Ok(Some((data, stat.into()))),
                zk::MultiReadResult::Error { err: zk::Error::NoNode } => Ok(None),
                zk::MultiReadResult::Error { err } => Err(translate(path, err)),
                other => Err(unexpected(&other)),
            })
            .collect()
    }

    async fn multi(&self, ops: Vec<Op>) -> Result<Vec<OpResult>, MultiError> {
        check_multi(&ops)?;
        let client = self.client()?;
        let commit = {
            let mut writer = client.new_multi_writer();
            for (index, op) in ops.iter().enumerate() {
                add(&mut writer, op).map_err(|error| MultiError::Op { index, source: translate(op.path(), error) })?;
            }
            writer.commit()
        };
        let results = tokio::select! {
            biased;
            outcome = commit => outcome.map_err(|error| translate_multi(&ops, error))?,
            () = lost(self.state.subscribe()) => return Err(Error::Lost.into()),
        };
        let done = ops.iter().zip(results);
        done.map(|(op, result)| self.result(op, result).map_err(MultiError::from)).collect()
    }

    async fn get_and_watch(&self, path: &str) -> Result<(Option<(Vec<u8>, Stat)>, Watch), Error> {
        check_path(path)?;
        let share = self.watched.take(path)?;
        let client = self.client()?;
        loop {
            match self.settle(path, client.get_and_watch_data(path)).await {
                Ok((data, stat, watcher)) => return Ok((Some((data, stat.into())), self.watch(watcher, share))),
                Err(Error::NoNode { .. }) => {}
                Err(other) => return Err(other),
            }
            // A failed get sets no watch. Where the node comes between the two, it is read again.
            if let (None, watcher) = self.settle(path, client.check_and_watch_stat(path)).await? {
                return Ok((None, self.watch(watcher, share)));
            }
        }
    }

    async fn stat_and_watch(&self, path: &str) -> Result<(Option<Stat>, Watch), Error> {
        check_path(path)?;
        let share = self.watched.take(path)?;
        let client = self.client()?;
        let (stat, watcher) = self.settle(path, client.check_and_watch_stat(path)).await?;
        Ok((stat.map(Stat::from), self.watch(watcher, share)))
    }

    async fn list_and_watch(&self, path: &str) -> Result<(Vec<String>, Watch), Error> {
        check_path(path)?;
        let share = self.watched.take(path)?;
        let client = self.client()?;
        let (mut names, watcher) = self.settle(path, client.list_and_watch_children(path)).await?;
        names.sort_unstable();
        Ok((names, self.watch(watcher, share)))
    }

    async fn sync(&self, path: &str) -> Result<(), Error> {
        check_path(path)?;
        let client = self.client()?;
        self.read(path, || client.sync(path)).await
    }

    async fn close(&self) {
        self.lose();
        let mut ended = self.ended.clone();
        // Either way it is over for the caller: the library goes on trying to tell the server.
        let _ = tokio::time::timeout(CLOSE_PATIENCE, ended.wait_for(|ended| *ended)).await;
    }
}

impl ZooKeeperSession {
    fn result(&self, op: &Op, result: zk::MultiWriteResult) -> Result<OpResult, Error> {
        match (op, result) {
            (Op::Create { mode, .. }, zk::MultiWriteResult::Create { path, stat }) => {
                self.check_owner(*mode, &stat)?;
                Ok(OpResult::Created(path))
            }
            (_, zk::MultiWriteResult::Create { path, .. }) => Ok(OpResult::Created(path)),
            (_, zk::MultiWriteResult::Check) => Ok(OpResult::Checked),
            (_, zk::MultiWriteResult::Delete) => Ok(OpResult::Deleted),
            (_, zk::MultiWriteResult::SetData { stat }) => Ok(OpResult::Set(stat.into())),
            (_, other) => Err(unexpected(&other)),
        }
    }
}

fn unexpected(answer: &impl Debug) -> Error {
    Error::OutcomeUnknown { detail: format!("an answer that is not known: {answer:?}") }
}

fn add(writer: &mut zk::MultiWriter<'_>, op: &Op) -> Result<(), zk::Error> {
    match op {
        // The server takes -1 for any version.
        Op::Check { path, version } => writer.add_check_version(path, version.unwrap_or(-1)),
        Op::Create { path, data, mode } => writer.add_create(path, data, &options(*mode)),
        Op::Set { path, data, version } => writer.add_set_data(path, data, *version),
        Op::Delete { path, version } => writer.add_delete(path, *version),
    }
}

fn options(mode: CreateMode) -> zk::CreateOptions<'static> {
    let mode = match mode {
        CreateMode::Persistent => zk::CreateMode::Persistent,
        CreateMode::Ephemeral => zk::CreateMode::Ephemeral,
        CreateMode::PersistentSequential => zk::CreateMode::PersistentSequential,
        CreateMode::EphemeralSequential => zk::CreateMode::EphemeralSequential,
    };
    mode.with_acls(zk::Acls::anyone_all())
}

impl From<zk::Stat> for Stat {
    fn from(stat: zk::Stat) -> Self {
        Stat {
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            ctime_ms: stat.ctime,
            mtime_ms: stat.mtime,
            version: stat.version,
            ephemeral_owner: stat.ephemeral_owner,
            num_children: stat.num_children,
        }
    }
}
