//! The settings of tenants in the coordinator. A change sets the registry's own node too, with the tenant's name as value, so
//! that the one watch of a host tells of jobs and tenants.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt, TryStreamExt};

use super::signers::Signers;
use super::store::{ATTEMPTS, Committed, PIPELINE, Registry, RegistryError, children};
use super::tenants::{TenantSettings, check_tenant};
use crate::coordinator::{CreateMode, Error, MAX_CHILDREN, Op, Session, ensure_path};

impl Registry {
    /// What a tenant was set; the defaults where it was set nothing.
    ///
    /// # Errors
    /// What the coordinator says. The name must have passed [`check_tenant`].
    pub async fn tenant(&self, name: &str) -> Result<TenantSettings, RegistryError> {
        let session = self.session().await?;
        session.sync(&self.layout().tenant(name)).await?;
        Ok(self.read_settings(&*session, name).await?.unwrap_or_default())
    }

    /// All tenants that have jobs or were set something, each with how many jobs it has.
    ///
    /// # Errors
    /// What the coordinator says.
    pub async fn tenants(&self) -> Result<Vec<(String, TenantSettings, usize)>, RegistryError> {
        let session = self.session().await?;
        session.sync(&self.node()).await?;
        let set = self.read_all_settings(&*session).await?;
        let shipping = children(&*session, &self.layout().tenants()).await?;
        let names: BTreeSet<String> = shipping.into_iter().chain(set.keys().cloned()).collect();
        let jobs = async |name: String| {
            let jobs = children(&*session, &self.layout().jobs(&name)).await?.len();
            Ok::<_, Error>((set.get(&name).cloned(), name, jobs))
        };
        let found: Vec<_> = stream::iter(names).map(jobs).buffered(PIPELINE).try_collect().await?;
        let there = found.into_iter().filter(|(set, _, jobs)| set.is_some() || *jobs > 0);
        Ok(there.map(|(set, name, jobs)| (name, set.unwrap_or_default(), jobs)).collect())
    }

    /// Stores what a tenant is set, in place of what it was set before.
    ///
    /// # Errors
    /// [`RegistryError::Full`], [`RegistryError::ContendedTenant`], or what the coordinator says. The name must have passed
    /// [`check_tenant`], and the settings [`TenantSettings::from_json`].
    pub async fn set_tenant(&self, name: &str, settings: &TenantSettings) -> Result<(), RegistryError> {
        let data = serde_json::to_vec(&settings).expect("settings are plain data");
        let path = self.layout().tenant(name);
        for _ in 0..ATTEMPTS {
            let session = self.session().await?;
            // The same once more does no harm, so a write whose reply was lost is looked for, and repeated where it failed.
            let op = match session.get(&path).await {
                Ok((stored, _)) if stored == data => return Ok(()),
                Ok((_, stat)) => Op::Set { path: path.clone(), data: data.clone(), version: Some(stat.version) },
                Err(Error::NoNode { .. }) => {
                    match self.room_for_settings(&*session).await {
                        Ok(()) => {}
                        Err(RegistryError::Coordinator(Error::Lost | Error::OutcomeUnknown { .. })) => continue,
                        Err(error) => return Err(error),
                    }
                    Op::Create { path: path.clone(), data: data.clone(), mode: CreateMode::Persistent }
                }
                Err(Error::Lost | Error::OutcomeUnknown { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            match self.commit(&*session, name, vec![op]).await? {
                Committed::Yes(_) => return Ok(()),
                Committed::Perhaps | Committed::No => {}
            }
        }
        Err(RegistryError::ContendedTenant(name.to_owned()))
    }

    /// Takes away what a tenant was set: it has the defaults again. False where it had them.
    ///
    /// # Errors
    /// [`RegistryError::ContendedTenant`], or what the coordinator says.
    pub async fn clear_tenant(&self, name: &str) -> Result<bool, RegistryError> {
        let path = self.layout().tenant(name);
        let mut was_set = false;
        for _ in 0..ATTEMPTS {
            let session = self.session().await?;
            let delete = Op::Delete { path: path.clone(), version: None };
            match self.commit(&*session, name, vec![delete]).await? {
                Committed::Yes(_) => return Ok(true),
                Committed::Perhaps => was_set = true,
                Committed::No => {}
            }
            if session.stat(&path).await?.is_none() {
                return Ok(was_set);
            }
        }
        Err(RegistryError::ContendedTenant(name.to_owned()))
    }

    // ---- for following ----

    pub(super) async fn read_all_settings(
        &self,
        session: &dyn Session,
    ) -> Result<BTreeMap<String, TenantSettings>, Error> {
        let names = children(session, &self.layout().tenant_settings()).await?;
        let ours = names.into_iter().filter(|name| check_tenant(name).is_ok());
        let read = async |name: String| Ok((self.read_settings(session, &name).await?, name));
        let found: Vec<_> = stream::iter(ours).map(read).buffered(PIPELINE).try_collect().await?;
        Ok(found.into_iter().filter_map(|(settings, name)| Some((name, settings?))).collect())
    }

    /// None where there are none. What can't be read is logged, and the tenant runs nothing: it may have said who signs.
    pub(super) async fn read_settings(
        &self,
        session: &dyn Session,
        name: &str,
    ) -> Result<Option<TenantSettings>, Error> {
        match session.get(&self.layout().tenant(name)).await {
            Ok((data, _)) => Ok(Some(TenantSettings::from_json(name, &data).unwrap_or_else(|error| {
                tracing::error!(tenant = name, %error, "stored settings of a tenant can't be read: it runs nothing");
                TenantSettings { signers: Signers::nobody(), ..TenantSettings::default() }
            }))),
            Err(Error::NoNode { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    // ---- within ----

    async fn room_for_settings(&self, session: &dyn Session) -> Result<(), RegistryError> {
        let folder = self.layout().tenant_settings();
        let count = children(session, &folder).await?.len();
        if count >= MAX_CHILDREN {
            return Err(RegistryError::Full { what: "tenants with settings".to_owned(), count });
        }
        Ok(ensure_path(session, &folder).await?)
    }
}

/// What a host knows of all tenants, kept up to date.
#[derive(Default)]
pub(super) struct Known(BTreeMap<String, TenantSettings>);

impl Known {
    /// Sets what one tenant was set; None if it was set nothing.
    pub(super) fn set(&mut self, name: &str, settings: Option<TenantSettings>) {
        match settings {
            Some(settings) => self.0.insert(name.to_owned(), settings),
            None => self.0.remove(name),
        };
    }

    pub(super) fn replace(&mut self, all: BTreeMap<String, TenantSettings>) {
        self.0 = all;
    }

    pub(super) fn all(&self) -> &BTreeMap<String, TenantSettings> {
        &self.0
    }
}
