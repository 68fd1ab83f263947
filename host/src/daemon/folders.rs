//! The folders and the key file that a host is given: checked before anything in them is used.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use object_store::local::LocalFileSystem;
use rustix::fs::Mode;
use tracing::warn;

use crate::files::{FolderLock, Peeking, check_folder, check_key_file, make_folder};
use crate::history::Stores;
use crate::registry::Vault;

/// Makes every file and folder that this process creates from now on its user's alone.
pub(super) fn restrict_new_files() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Makes the host's own folder if it is missing, and takes it for this process alone. What is in it is its tenants', so a
/// folder that others may enter is refused.
///
/// # Errors
/// What is wrong with the folder, and what to do.
pub(super) fn own_folder(path: &Path) -> anyhow::Result<FolderLock> {
    make_folder(path).context("data")?;
    check_folder(path, Peeking::Refused).context("data")?;
    FolderLock::take(path).context("data")
}

/// Makes the store's folder if it is missing. Whoever may write there says what hosts run and how runs ended, so a folder
/// that others may write to is refused.
///
/// # Errors
/// What is wrong with the folder, and what to do.
pub(super) fn store_folder(path: &Path) -> anyhow::Result<Stores> {
    make_folder(path).context("store")?;
    check_folder(path, Peeking::Allowed).context("store")?;
    let unusable = || format!("store: folder `{}` can't be used", path.display());
    let mode = path.metadata().with_context(unusable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let mode = format!("{mode:o}");
        warn!(folder = %path.display(), mode, "others on this machine may read what tenants keep in the store: `chmod 700` it");
    }
    let open = || LocalFileSystem::new_with_prefix(path).with_context(unusable);
    let folder = File::open(path).with_context(unusable)?;
    Ok(Stores {
        durable: Arc::new(open()?.with_fsync(true)),
        quick: Arc::new(open()?),
        sync: Arc::new(move || Ok(rustix::fs::syncfs(&folder)?)),
    })
}

/// Reads the keys for secrets.
///
/// # Errors
/// What is wrong with the file: a key that others can use is refused before anything is sealed with it.
pub(super) fn vault(file: Option<&Path>) -> anyhow::Result<Option<Vault>> {
    let Some(file) = file else { return Ok(None) };
    let named = || format!("secrets-key: `{}`", file.display());
    let mut opened = File::open(file).with_context(named)?;
    check_key_file(&opened, file).context("secrets-key")?;
    let mut text = String::new();
    opened.read_to_string(&mut text).with_context(named)?;
    Ok(Some(Vault::read(&text).with_context(named)?))
}
