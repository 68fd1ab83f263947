//! Runs commands on the world: with a file on a thread of its own, many to a commit; without one where they are asked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::warn;

use super::recovery::{Recovery, Reopened};
use super::status::Status;
use super::store::{Store, StoreError};
use super::world::{Command, Committed, World};
use crate::coordinator::Error;
use crate::vital;

/// How many commands share a commit at most, so that the first of them doesn't wait for ever.
const MAX_BATCH: usize = 1000;
/// How long after a file could not be written again that is tried once more: the first time, and at the most.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// See the module.
pub(super) enum Engine {
    /// No file, no thread.
    Inline(Box<Mutex<World>>, Status),
    /// A file, and the thread that writes it.
    Durable(Writer),
}

/// The thread that writes the file. Dropping it waits for the thread, after which the file is closed.
pub(super) struct Writer {
    queue: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    status: Arc<Status>,
}

impl Engine {
    pub(super) fn inline(world: World) -> Self {
        Engine::Inline(Box::new(Mutex::new(world)), Status::default())
    }

    /// Starts the thread. `dir` is where `store` is opened again after an error of the disk.
    pub(super) fn with_store(world: World, store: Store, dir: PathBuf) -> io::Result<Self> {
        let (queue, inbox) = channel();
        let status = Arc::new(Status::default());
        let recovery = Recovery::new(dir, status.clone(), world.clock().clone());
        let work = move || {
            let _part = vital::part("the thread of the embedded coordinator");
            write_until_closed(&inbox, world, store, recovery);
        };
        let thread = thread::Builder::new().name("embedded-writer".to_owned()).spawn(work)?;
        Ok(Engine::Durable(Writer { queue: Some(queue), thread: Some(thread), status }))
    }

    /// Does `work` in its turn and gives what it returned, once that is committed.
    ///
    /// # Errors
    /// [`Error::Unusable`] if the file can't be written at the moment: nothing was done then. [`Error::OutcomeUnknown`] if
    /// its commit failed.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut World) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.submit(Box::new(move |world| {
            let value = work(world);
            Box::new(move |committed| {
                // Whoever asked may have gone.
                let _ = reply.send((value, committed));
            })
        }));
        match answer.await {
            Ok((value, Committed::Yes)) => Ok(value),
            Ok((_, Committed::Unknown)) => Err(self.status().doubt()),
            Err(_) => Err(self.status().refusal()),
        }
    }

    /// Does `work` in its turn. Nobody waits for it.
    pub(super) fn post(&self, work: impl FnOnce(&mut World) + Send + 'static) {
        self.submit(Box::new(move |world| {
            work(world);
            Box::new(|_| {})
        }));
    }

    fn submit(&self, command: Command) {
        match self {
            Engine::Inline(world, _) => {
                let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
                world.obey(command);
                world.take_unsaved();
                let answers = world.take_answers();
                drop(world);
                answers.into_iter().for_each(|answer| answer(Committed::Yes));
            }
            Engine::Durable(writer) => {
                if let Some(queue) = &writer.queue {
                    // Refused after the end of the thread only; the caller then sees its reply dropped.
                    let _ = queue.send(command);
                }
            }
        }
    }

    fn status(&self) -> &Status {
        match self {
            Engine::Inline(_, status) => status,
            Engine::Durable(writer) => &writer.status,
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id()) {
            // A panic there ends the host by itself.
            let _ = thread.join();
        }
    }
}

/// Why no more is written for now.
enum Stopped {
    /// Nobody can ask for anything any more.
    Closed,
    /// A commit failed after this zxid was committed: memory is ahead of the file, and the file must be opened again.
    Failed { error: StoreError, committed: i64 },
}

fn write_until_closed(inbox: &Receiver<Command>, mut world: World, mut store: Store, mut recovery: Recovery) {
    loop {
        match write_batches(inbox, &mut world, &mut store, recovery.dir()) {
            Stopped::Closed => return,
            Stopped::Failed { error, committed } => {
                recovery.begin(&error, store.path());
                let expected = [committed, world.tree.zxid()];
                world.fail();
                store.close();
                match recovery.reopen(inbox, expected) {
                    Reopened::Again { world: reread, store: reopened } => (world, store) = (*reread, *reopened),
                    Reopened::Closed => return,
                    Reopened::Never(reason) => return vital::fail(reason),
                }
            }
        }
    }
}

/// Takes what is waiting, applies it, commits once, answers.
fn write_batches(inbox: &Receiver<Command>, world: &mut World, store: &mut Store, dir: &Path) -> Stopped {
    let mut committed = world.tree.zxid();
    let mut restoring = Restoring::default();
    while let Ok(first) = inbox.recv() {
        world.obey(first);
        for command in inbox.try_iter().take(MAX_BATCH - 1) {
            world.obey(command);
        }
        let unsaved = world.take_unsaved();
        if !unsaved.is_empty() || world.tree.zxid() != committed {
            if store.is_gone() {
                restoring.attempt(store, dir, world);
            }
            if let Err(error) = store.save(&world.tree, &unsaved) {
                return Stopped::Failed { error, committed };
            }
            committed = world.tree.zxid();
        }
        world.take_answers().into_iter().for_each(|answer| answer(Committed::Yes));
    }
    Stopped::Closed
}

/// How writing a file again goes that somebody removed or replaced. All that was in it is in memory.
#[derive(Default)]
struct Restoring {
    failures: u32,
    /// By the boot clock. Each attempt writes all there is, on the thread that answers everybody.
    not_before: Duration,
}

impl Restoring {
    fn attempt(&mut self, store: &mut Store, dir: &Path, world: &World) {
        let now = world.clock().boot();
        if now < self.not_before {
            return;
        }
        let file = store.path().display().to_string();
        match store.move_to_new_file(dir, &world.tree) {
            Ok(()) => {
                *self = Restoring::default();
                warn!(
                    file,
                    "the embedded coordinator's file was removed or replaced: all of it is written to a new one"
                );
            }
            Err(error) => {
                if self.failures == 0 {
                    warn!(
                        file,
                        %error,
                        "the embedded coordinator's file was removed or replaced, and can't be written again now: until it can, a \
                         restart of this host loses what is written"
                    );
                }
                self.not_before = now + (FIRST_RETRY * 2_u32.pow(self.failures.min(10))).min(LAST_RETRY);
                self.failures += 1;
            }
        }
    }
}
