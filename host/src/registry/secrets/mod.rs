//! Secrets of tenants: short texts for the runs of their jobs. They are written through the API and come back nowhere but in a
//! run's config; in the coordinator they stand sealed under a key that only hosts have.

mod store;
mod vault;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use thiserror::Error;

pub use self::store::SecretRow;
pub use self::vault::{OpenError, Sealed, Vault, VaultError};
use super::JobSpec;
use super::validate::SpecError;
use crate::config::{self, Layout};
use crate::coordinator::{self, Session};

/// The longest secret, in bytes: a private key of 4 096 bits in PEM has 3 300.
pub const MAX_SECRET_BYTES: usize = 8 * 1024;
/// How many secrets a tenant has at the most.
const MAX_SECRETS: usize = 100;

/// Why a run doesn't get its secrets.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SecretError {
    /// There is none of this name.
    #[error("secret `{name}` of tenant `{tenant}` is not set: silverback secret set {tenant} {name}")]
    NotSet {
        /// Whose.
        tenant: String,
        /// Which.
        name: String,
    },
    /// This host was started without keys.
    #[error("this host has no key for secrets: start it with --secrets-key FILE")]
    NoKey,
    /// It is there, and can't be opened.
    #[error("secret `{name}` of tenant `{tenant}` can't be read: {why}")]
    Sealed {
        /// Whose.
        tenant: String,
        /// Which.
        name: String,
        /// Why.
        why: OpenError,
    },
    /// The coordinator failed.
    #[error(transparent)]
    Coordinator(#[from] coordinator::Error),
}

/// What a run is to be told beside its config, once it was fetched.
pub type Fetch = BoxFuture<'static, Result<BTreeMap<String, String>, SecretError>>;

/// Where runs have their secrets from.
#[derive(Clone, Debug)]
pub struct Secrets {
    vault: Option<Arc<Vault>>,
    layout: Layout,
}

impl Secrets {
    /// Below `layout`, under these keys; without keys, no secret can be set or read.
    pub fn new(vault: Option<Vault>, layout: Layout) -> Self {
        Secrets { vault: vault.map(Arc::new), layout }
    }

    /// The keys.
    ///
    /// # Errors
    /// [`SecretError::NoKey`].
    pub fn vault(&self) -> Result<&Vault, SecretError> {
        self.vault.as_deref().ok_or(SecretError::NoKey)
    }

    /// Fetches what a run of this job is to be told, as it is by then; None where the job asks for no secret.
    pub fn of(&self, spec: &JobSpec, session: &Arc<dyn Session>) -> Option<Fetch> {
        if spec.secrets.is_empty() {
            return None;
        }
        let (secrets, session) = (self.clone(), session.clone());
        let (tenant, wanted) = (spec.id.tenant.clone(), spec.secrets.clone());
        Some(async move { secrets.fetch(&*session, &tenant, wanted).await }.boxed())
    }

    async fn fetch(
        &self,
        session: &dyn Session,
        tenant: &str,
        wanted: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, SecretError> {
        let vault = self.vault()?;
        let paths: Vec<String> = wanted.values().map(|name| self.layout.secret(tenant, name)).collect();
        let found = session.get_each(&paths).await?;
        let open = |((key, name), found): ((String, String), Option<(Vec<u8>, _)>)| {
            let tenant = tenant.to_owned();
            let Some((data, _)) = found else { return Err(SecretError::NotSet { tenant, name }) };
            let opened = serde_json::from_slice(&data)
                .map_err(|_| OpenError::Damaged)
                .and_then(|sealed| vault.open(&tenant, &name, &sealed));
            opened.map(|secret| (key, secret)).map_err(|why| SecretError::Sealed { tenant, name, why })
        };
        wanted.into_iter().zip(found).map(open).collect()
    }
}

/// A secret's name, as part of a path.
///
/// # Errors
/// [`SpecError::Invalid`] where it can't be one.
pub fn check_secret_name(tenant: &str, name: &str) -> Result<(), SpecError> {
    config::check_name(name).map_err(|reason| SpecError::of_tenant(tenant, "secret", name, reason))
}

/// A secret's text.
///
/// # Errors
/// [`SpecError::Invalid`] where it can't be one; its bytes are not told.
pub fn check_secret(tenant: &str, name: &str, bytes: &[u8]) -> Result<String, SpecError> {
    let refuse = |reason: String| {
        Err(SpecError::of_tenant(tenant, &format!("secret {name}"), &format!("{} bytes", bytes.len()), &reason))
    };
    match std::str::from_utf8(bytes) {
        _ if bytes.is_empty() || bytes.len() > MAX_SECRET_BYTES => {
            refuse(format!("it must have 1 to {MAX_SECRET_BYTES} bytes"))
        }
        Ok(text) => Ok(text.to_owned()),
        Err(_) => refuse("it must be text in UTF-8".to_owned()),
    }
}
