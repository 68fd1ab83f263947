//! A value that many follow, and who is told in which order is no chance: tokio's own watch channel wakes those that wait on
//! it in an order that no seed decides.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;

/// Clones share it.
#[derive(Clone)]
pub(super) struct Signal<T>(Arc<Mutex<(T, Vec<watch::Sender<T>>)>>);

impl<T: Copy> Signal<T> {
    pub(super) fn new(value: T) -> Self {
        Signal(Arc::new(Mutex::new((value, Vec::new()))))
    }

    /// A channel of its own for each that follows.
    pub(super) fn follow(&self) -> watch::Receiver<T> {
        let mut signal = self.0.lock().unwrap();
        let (sender, receiver) = watch::channel(signal.0);
        signal.1.retain(|sender| !sender.is_closed());
        signal.1.push(sender);
        receiver
    }

    /// Tells all, who followed first is told first.
    pub(super) fn send(&self, value: T) {
        let mut signal = self.0.lock().unwrap();
        signal.0 = value;
        signal.1.iter().for_each(|sender| {
            sender.send_replace(value);
        });
    }
}
