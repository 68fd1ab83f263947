//! Views of one store, which differ in when what is written is safe from a crash of the machine.

use std::io;
use std::sync::Arc;

use object_store::{Error, ObjectStore};

use super::Inner;

/// Makes all that was written to a store safe. It may block for as long as a disk takes.
pub type SyncStore = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// See the module.
#[derive(Clone)]
pub struct Stores {
    /// What is written here is safe when the write returns.
    pub durable: Arc<dyn ObjectStore>,
    /// What is written here is safe after the next `sync`. It is for what is written often, or in large numbers.
    pub quick: Arc<dyn ObjectStore>,
    /// Makes what was written to `quick` safe.
    pub sync: SyncStore,
}

/// A store whose writes are as safe as they can be when they return.
impl From<Arc<dyn ObjectStore>> for Stores {
    fn from(store: Arc<dyn ObjectStore>) -> Self {
        Stores { durable: store.clone(), quick: store, sync: Arc::new(|| Ok(())) }
    }
}

impl Inner {
    /// Returns when all that was written before is safe.
    pub(super) async fn sync(&self) -> Result<(), Error> {
        let sync = self.sync.clone();
        let synced = tokio::task::spawn_blocking(move || sync()).await.map_err(io::Error::other).flatten();
        synced.map_err(|error| Error::Generic { store: "history", source: error.into() })
    }
}
