//! Secrets in the coordinator: one node each, its value sealed.

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{MAX_SECRETS, Sealed};
use crate::coordinator::{CreateMode, Error, ensure_path};
use crate::registry::store::{ATTEMPTS, PIPELINE, Registry, RegistryError, children};

/// What is told of a secret: all but itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRow {
    /// Its name.
    pub name: String,
    /// When it was set, by the ensemble's clock.
    pub set: Timestamp,
    /// The name of the key that it is sealed under; None where it can't be read.
    pub key: Option<String>,
}

impl Registry {
    /// Stores a secret of a tenant, in place of the one of its name where there is one. Runs that begin from now on have it.
    ///
    /// # Errors
    /// [`RegistryError::Full`], [`RegistryError::ContendedTenant`], or what the coordinator says. Both names must be valid.
    pub async fn set_secret(&self, tenant: &str, name: &str, sealed: &Sealed) -> Result<(), RegistryError> {
        let data = serde_json::to_vec(sealed).expect("it is plain data");
        let (folder, path) = (self.layout().secrets(tenant), self.layout().secret(tenant, name));
        for _ in 0..ATTEMPTS {
            let session = self.session().await?;
            let set = match session.set(&path, &data, None).await {
                Err(Error::NoNode { .. }) => {
                    let there = children(&*session, &folder).await?;
                    if there.len() >= MAX_SECRETS && !there.iter().any(|other| other == name) {
                        let what = format!("secrets of tenant `{tenant}`");
                        return Err(RegistryError::Full { what, count: there.len() });
                    }
                    ensure_path(&*session, &folder).await?;
                    session.create(&path, &data, CreateMode::Persistent).await.map(drop)
                }
                other => other.map(drop),
            };
            match set {
                Ok(()) => return Ok(()),
                // The same once more does no harm.
                Err(Error::Lost | Error::OutcomeUnknown { .. } | Error::NodeExists { .. } | Error::NoNode { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(RegistryError::ContendedTenant(tenant.to_owned()))
    }

    /// All secrets of a tenant, by name, without what they are.
    ///
    /// # Errors
    /// What the coordinator says. The name must be valid.
    pub async fn secrets(&self, tenant: &str) -> Result<Vec<SecretRow>, RegistryError> {
        let (session, folder) = (self.session().await?, self.layout().secrets(tenant));
        session.sync(self.layout().root()).await?;
        let names = children(&*session, &folder).await?;
        let row = async |name: String| match session.get(&self.layout().secret(tenant, &name)).await {
            Ok((data, stat)) => {
                let set = Timestamp::from_millisecond(stat.mtime_ms).unwrap_or(Timestamp::UNIX_EPOCH);
                let key = serde_json::from_slice::<Sealed>(&data).ok().map(|sealed| sealed.key);
                Ok(Some(SecretRow { name, set, key }))
            }
            Err(Error::NoNode { .. }) => Ok(None),
            Err(error) => Err(RegistryError::from(error)),
        };
        let rows: Vec<Option<SecretRow>> = stream::iter(names).map(row).buffered(PIPELINE).try_collect().await?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// Deletes a secret. False where there was none.
    ///
    /// # Errors
    /// What the coordinator says. Both names must be valid.
    pub async fn delete_secret(&self, tenant: &str, name: &str) -> Result<bool, RegistryError> {
        let session = self.session().await?;
        match session.delete(&self.layout().secret(tenant, name), None).await {
            Ok(()) => Ok(true),
            Err(Error::NoNode { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
