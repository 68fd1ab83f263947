//! Runs commands on the world: with a file on a thread of its own, many to a commit; without one where they are asked.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;
use tracing::error;

use super::store::Store;
use super::world::{Command, World};
use crate::coordinator::Error;

/// How many commands share a commit at most, so that the first of them doesn't wait for ever.
const MAX_BATCH: usize = 1000;

/// See the module.
pub(super) enum Engine {
    /// No file, no thread.
    Inline(Box<Mutex<World>>),
    /// A file, and the thread that writes it.
    Durable(Writer),
}

/// The thread that writes the file. Dropping it waits for the thread, after which the file is closed.
pub(super) struct Writer {
    queue: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    /// Why the thread ended, where it had to.
    failure: Arc<OnceLock<String>>,
}

impl Engine {
    pub(super) fn inline(world: World) -> Self {
        Engine::Inline(Box::new(Mutex::new(world)))
    }

    pub(super) fn with_store(world: World, store: Store) -> io::Result<Self> {
        let (queue, inbox) = channel();
        let failure = Arc::new(OnceLock::new());
        let failed = Arc::clone(&failure);
        let work = move || write_batches(&inbox, world, &store, &failed);
        let thread = thread::Builder::new().name("embedded-writer".to_owned()).spawn(work)?;
        Ok(Engine::Durable(Writer { queue: Some(queue), thread: Some(thread), failure }))
    }

    /// Does `work` in its turn and gives what it returned, once that is committed.
    ///
    /// # Errors
    /// [`Error::Refused`] where the store has failed.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut World) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.submit(Box::new(move |world| {
            let value = work(world);
            Box::new(move || {
                // Whoever asked may have gone.
                let _ = reply.send(value);
            })
        }));
        answer.await.map_err(|_| self.failure())
    }

    /// Does `work` in its turn. Nobody waits for it.
    pub(super) fn post(&self, work: impl FnOnce(&mut World) + Send + 'static) {
        self.submit(Box::new(move |world| {
            work(world);
            Box::new(|| {})
        }));
    }

    fn submit(&self, command: Command) {
        match self {
            Engine::Inline(world) => {
                let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
                world.obey(command);
                world.take_unsaved();
                let answers = world.take_answers();
                drop(world);
                answers.into_iter().for_each(|answer| answer());
            }
            Engine::Durable(writer) => {
                if let Some(queue) = &writer.queue {
                    // Refused after a failure only; the caller then sees its reply dropped.
                    let _ = queue.send(command);
                }
            }
        }
    }

    fn failure(&self) -> Error {
        let why = match self {
            Engine::Inline(_) => None,
            Engine::Durable(writer) => writer.failure.get().cloned(),
        };
        Error::Refused { detail: why.unwrap_or_else(|| "the embedded store has stopped".to_owned()) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id()) {
            // A panic there was reported where it happened.
            let _ = thread.join();
        }
    }
}

/// Takes what is waiting, applies it, commits once, answers. A commit that fails ends it all: memory is ahead of the file
/// then, and a failed write to a disk is not to be tried again.
fn write_batches(inbox: &Receiver<Command>, mut world: World, store: &Store, failure: &OnceLock<String>) {
    let mut saved_zxid = world.tree.zxid();
    while let Ok(first) = inbox.recv() {
        world.obey(first);
        for command in inbox.try_iter().take(MAX_BATCH - 1) {
            world.obey(command);
        }
        let unsaved = world.take_unsaved();
        if !unsaved.is_empty() || world.tree.zxid() != saved_zxid {
            if let Err(error) = store.save(&world.tree, &unsaved) {
                error!(%error, "the embedded store failed, its sessions are lost");
                let _ = failure.set(format!("the embedded store failed and must be opened again: {error}"));
                world.lose_all();
                return;
            }
            saved_zxid = world.tree.zxid();
        }
        world.take_answers().into_iter().for_each(|answer| answer());
    }
}
