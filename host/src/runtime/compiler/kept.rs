//! Code that was compiled once, in a folder of this host's own: `KIND/DIGEST.cwasm` is what a child wrote, for engines of that
//! kind, and `DIGEST.seal` says that it did.
//!
//! Each file is written under another name and renamed, so that it is whole or not there; what is there without its seal, or
//! doesn't fit it, is none. So code that a crash of the machine cut off is recognised, and files of code needn't be synced.

use std::fs::{self, DirBuilder, File, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tempfile::NamedTempFile;
use thiserror::Error;
use tracing::warn;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::load::{self, Proven};
use crate::clock::Clock;
use crate::files::{self, Access, Peeking};
use crate::registry::Digest;
use crate::runtime::engine::{chain, on_demand};

/// How much code is kept, in bytes: what was used last.
const MAX_CODE_BYTES: u64 = 2 << 30;
const KEY: &str = "key";
pub(super) const KEY_BYTES: usize = 32;
const CODE: &str = "cwasm";
const SEAL: &str = "seal";

pub(super) struct CodeFolder {
    path: PathBuf,
    key: [u8; KEY_BYTES],
    clock: Arc<dyn Clock>,
    max_bytes: u64,
    /// Of this program's engines.
    kinds: Vec<String>,
}

/// Why kept code is of no use.
#[derive(Debug, Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is not what this host wrote")]
    Changed,
    #[error("{}", chain(.0))]
    Engine(wasmtime::Error),
}

impl std::fmt::Debug for CodeFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the key.
        f.debug_struct("CodeFolder").field("path", &self.path).finish_non_exhaustive()
    }
}

impl CodeFolder {
    pub(super) fn open(path: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        files::make_folder(path).map_err(io::Error::other)?;
        // Who can read the key or write here says what this process executes.
        files::check_folder(path, Peeking::Refused).map_err(io::Error::other)?;
        remove_scraps(path)?;
        let key = key(path)?;
        let kinds = [false, true].into_iter().filter_map(|metered| Some(kind_of(&on_demand(metered).ok()?))).collect();
        Ok(CodeFolder { path: path.to_owned(), key, clock, max_bytes: MAX_CODE_BYTES, kinds })
    }

    /// Where another amount is too much, in bytes.
    #[cfg(test)]
    pub(super) fn holding(self, max_bytes: u64) -> Self {
        CodeFolder { max_bytes, ..self }
    }

    /// Nobody but this host's user may look in here.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The code of a component; none where none is kept.
    ///
    /// # Errors
    /// Where what is kept is not what was written, or this engine doesn't take it; it is gone then.
    pub(super) fn load(&self, engine: &Engine, digest: &Digest) -> Result<Option<Component>, LoadError> {
        let (code, seal) = self.files(engine, digest);
        let loaded = self.load_from(engine, digest, &code, &seal);
        if loaded.is_err() {
            let _ = (remove(&seal), remove(&code));
        }
        loaded
    }

    fn load_from(
        &self,
        engine: &Engine,
        digest: &Digest,
        code: &Path,
        seal: &Path,
    ) -> Result<Option<Component>, LoadError> {
        let (file, seal) = match (File::open(code), fs::read(seal)) {
            (Ok(file), Ok(seal)) => (file, seal),
            (Err(error), _) | (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            (Err(error), _) | (_, Err(error)) => return Err(error.into()),
        };
        // In constant time, as `blake3::Hash` compares.
        let found = self.seal(engine, digest, &file)?;
        if blake3::Hash::from_slice(&seal).ok() != Some(found) {
            return Err(LoadError::Changed);
        }
        // The file whose seal was found, whatever has its name by now.
        let code = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let component = load::load(engine, &Proven::by_its_seal(&code)).map_err(LoadError::Engine)?;
        // The order in which code goes when there is too much of it.
        let _ = file.set_modified(SystemTime::from(self.clock.wall()));
        Ok(Some(component))
    }

    /// Keeps what a child has just written.
    pub(super) fn keep(&self, engine: &Engine, digest: &Digest, code: NamedTempFile) -> io::Result<()> {
        let (path, seal_path) = self.files(engine, digest);
        let kind = path.parent().expect("it is in a folder");
        DirBuilder::new().recursive(true).mode(0o700).create(kind)?;
        let mut seal = NamedTempFile::new_in(&self.path)?;
        seal.write_all(self.seal(engine, digest, code.as_file())?.as_bytes())?;
        fs::set_permissions(code.path(), Permissions::from_mode(0o400))?;
        code.persist(&path).map_err(|refused| refused.error)?;
        seal.persist(&seal_path).map_err(|refused| refused.error)?;
        // Two at once may be after the same files, and what can't be taken away stands in nobody's way.
        if let Err(error) = self.prune(kind) {
            warn!(folder = %self.path.display(), %error, "old code can't be taken away");
        }
        Ok(())
    }

    /// What was not used for longest goes where there is too much, and all that is of another kind of engine.
    fn prune(&self, kind: &Path) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let is_used = self.kinds.iter().any(|kind| entry.file_name() == kind.as_str()) || entry.path() == *kind;
            if entry.file_type()?.is_dir() && !is_used {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(kind)? {
            let (path, meta) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
            if path.extension().is_some_and(|extension| extension == CODE) {
                found.push((meta.modified()?, meta.len(), path));
            }
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        let mut bytes = 0;
        for (_, len, path) in found {
            bytes += len;
            if bytes > self.max_bytes {
                remove(&path.with_extension(SEAL))?;
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// The keyed digest of code, and of what it is the code of.
    fn seal(&self, engine: &Engine, digest: &Digest, mut code: &File) -> io::Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(format!("{} {digest}\n", kind_of(engine)).as_bytes());
        io::Seek::rewind(&mut code)?;
        hasher.update_reader(code)?;
        Ok(hasher.finalize())
    }

    pub(super) fn files(&self, engine: &Engine, digest: &Digest) -> (PathBuf, PathBuf) {
        let name = self.path.join(kind_of(engine)).join(digest.to_string().replace(':', "-"));
        (name.with_extension(CODE), name.with_extension(SEAL))
    }
}

/// What code must be made for to run on this engine: wasmtime's version, the settings, the processor.
fn kind_of(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Takes a file away, where it is there: its other half may have gone before, when the host was killed in between.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What children were given and had written when an earlier life of the host was killed.
fn remove_scraps(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name() != KEY {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Returns this host's own key. One is made if there is none that can be used: only kept code hangs on it, which is compiled
/// anew then.
fn key(folder: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let path = folder.join(KEY);
    match read_key(&path) {
        Ok(Some(key)) => return Ok(key),
        Ok(None) => {}
        Err(why) => {
            warn!(%why, "the key of compiled code can't be used: another is made, and components are compiled anew");
        }
    }
    remove_code(folder)?;
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key)?;
    let named = |error| io::Error::other(format!("`{}` can't be made: {error}", path.display()));
    files::replace(&path, &key, Access::Private).map_err(named)?;
    Ok(key)
}

/// Returns the key, or None if there is none.
///
/// # Errors
/// Why the one that is there can't be used, for people.
fn read_key(path: &Path) -> Result<Option<[u8; KEY_BYTES]>, String> {
    let named = |error: &dyn std::fmt::Display| format!("`{}`: {error}", path.display());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(named(&error)),
    };
    files::check_key_file(&file, path).map_err(|error| error.to_string())?;
    let mut key = Vec::new();
    (&mut file).take(KEY_BYTES as u64 + 1).read_to_end(&mut key).map_err(|error| named(&error))?;
    let wrong = |key: Vec<u8>| named(&format!("it has {} bytes and not {KEY_BYTES}", key.len()));
    key.try_into().map(Some).map_err(wrong)
}

/// Removes all kept code.
fn remove_code(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
