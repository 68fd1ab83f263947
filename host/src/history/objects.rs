//! What history asks of an object store.

use std::sync::Arc;

use futures::stream::{BoxStream, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// The object with the store's id.
const ID: &str = "store-id";
/// How many objects are read at once.
pub(super) const PIPELINE: usize = 16;

#[derive(Clone)]
pub(super) struct Objects(Arc<dyn ObjectStore>);

impl Objects {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Objects(store)
    }

    pub(super) async fn put(&self, path: &Path, text: String) -> Result<(), Error> {
        self.0.put(path, text.into()).await.map(drop)
    }

    /// None where it is gone.
    pub(super) async fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        match self.0.get(path).await {
            Ok(found) => Ok(Some(found.bytes().await?.to_vec())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn delete(&self, path: &Path) -> Result<(), Error> {
        match self.0.delete(path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What is in a folder, by name.
    pub(super) async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>, Error> {
        let listing: BoxStream<'_, Result<ObjectMeta, Error>> = self.0.list(Some(folder));
        let mut found: Vec<ObjectMeta> = listing.try_collect().await?;
        found.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(found)
    }

    /// Returns the id of the store, and makes one if it has none.
    pub(super) async fn id(&self) -> Result<String, Error> {
        let path = Path::from(ID);
        if let Some(id) = self.read(&path).await? {
            return Ok(String::from_utf8_lossy(&id).trim().to_owned());
        }
        let new = Uuid::new_v4().to_string();
        match self.0.put_opts(&path, new.clone().into(), PutMode::Create.into()).await {
            Ok(_) => Ok(new),
            // Another host made it at the same time.
            Err(Error::AlreadyExists { .. }) => {
                let id = self.read(&path).await?.unwrap_or_default();
                Ok(String::from_utf8_lossy(&id).trim().to_owned())
            }
            Err(error) => Err(error),
        }
    }

    /// Returns whether there is anything below a folder.
    pub(super) async fn has_any(&self, folder: &Path) -> Result<bool, Error> {
        Ok(self.0.list(Some(folder)).try_next().await?.is_some())
    }

    /// The folders in a folder.
    pub(super) async fn folders(&self, folder: &Path) -> Result<Vec<String>, Error> {
        let found = self.0.list_with_delimiter(Some(folder)).await?;
        Ok(found.common_prefixes.iter().filter_map(Path::filename).map(str::to_owned).collect())
    }
}

/// What can't be read is logged and left out.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, json: &[u8]) -> Option<T> {
    serde_json::from_slice(json)
        .inspect_err(|error| tracing::warn!(%path, %error, "a record of the history can't be read and is left out"))
        .ok()
}
