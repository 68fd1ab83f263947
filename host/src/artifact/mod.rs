//! Component bytes by digest, in an object store. It doesn't know what a component is.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use thiserror::Error;

use crate::registry::Digest;

/// Why bytes could not be stored or read.
#[derive(Debug, Error)]
pub enum ArtifactError {
    /// The bytes under this name are others.
    #[error("what is stored as component `{wanted}` is `{found}`: the store is damaged")]
    Damaged {
        /// The name.
        wanted: Digest,
        /// The name of the bytes that were found.
        found: Digest,
    },
    /// The store failed.
    #[error("the component store failed for `{digest}`")]
    Store {
        /// The component asked for.
        digest: Digest,
        /// What the store said.
        source: object_store::Error,
    },
}

/// The components that the hosts around this store have.
#[derive(Clone)]
pub struct Artifacts {
    store: Arc<dyn ObjectStore>,
}

impl Artifacts {
    /// Components in the folder `components` of `store`.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Artifacts { store }
    }

    /// Stores bytes under their digest; all of them or nothing.
    ///
    /// # Errors
    /// [`ArtifactError::Store`].
    pub async fn put(&self, bytes: Bytes) -> Result<Digest, ArtifactError> {
        let digest = Digest::of(&bytes);
        // Written even where the name is there: a damaged file is mended by sending it again.
        match self.store.put(&path(&digest), bytes.into()).await {
            Ok(_) => Ok(digest),
            Err(source) => Err(ArtifactError::Store { digest, source }),
        }
    }

    /// A component's bytes, None where they are not here.
    ///
    /// # Errors
    /// [`ArtifactError::Damaged`] where the bytes don't have this digest, [`ArtifactError::Store`].
    pub async fn get(&self, digest: &Digest) -> Result<Option<Bytes>, ArtifactError> {
        let failed = |source| ArtifactError::Store { digest: digest.clone(), source };
        let bytes = match self.store.get(&path(digest)).await {
            Ok(found) => found.bytes().await.map_err(failed)?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(failed(source)),
        };
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(ArtifactError::Damaged { wanted: digest.clone(), found });
        }
        Ok(Some(bytes))
    }

    /// Whether a component is here, without reading it.
    ///
    /// # Errors
    /// [`ArtifactError::Store`].
    pub async fn has(&self, digest: &Digest) -> Result<bool, ArtifactError> {
        match self.store.head(&path(digest)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(ArtifactError::Store { digest: digest.clone(), source }),
        }
    }
}

fn path(digest: &Digest) -> Path {
    Path::from_iter(["components".to_owned(), format!("{}.wasm", digest.hex())])
}

#[cfg(test)]
mod tests {
    use object_store::local::LocalFileSystem;

    use super::*;

    #[tokio::test]
    async fn bytes_come_back_by_digest_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::new(Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap()));
        let absent = Digest::of(b"absent");
        assert!(artifacts.get(&absent).await.unwrap().is_none() && !artifacts.has(&absent).await.unwrap());

        let digest = artifacts.put(Bytes::from_static(b"component")).await.unwrap();
        assert!(artifacts.has(&digest).await.unwrap());
        assert_eq!(artifacts.get(&digest).await.unwrap().unwrap(), "component");

        std::fs::write(folder.path().join(path(&digest).as_ref()), b"tampered").unwrap();
        assert!(matches!(artifacts.get(&digest).await, Err(ArtifactError::Damaged { .. })));
        artifacts.put(Bytes::from_static(b"component")).await.unwrap();
        assert!(artifacts.get(&digest).await.unwrap().is_some());
    }
}
