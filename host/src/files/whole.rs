//! Files that are whole or not there: written under another name in the same folder, synced, renamed, and the folder
//! synced.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// Who may use a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its owner alone: mode 600.
    Private,
    /// Those who may use the file that is there; without one, whoever the process's umask lets.
    Usual,
}

/// Writes `bytes` to `path`, in place of a file that is there. After an error the path is as it was.
///
/// # Errors
/// Those of the file system: the disk is full, say.
pub fn replace(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let file = written(path, bytes, access)?;
    if let (Access::Usual, Ok(found)) = (access, path.metadata()) {
        file.as_file().set_permissions(Permissions::from_mode(found.permissions().mode() & 0o7777))?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|refused| refused.error)?;
    sync_parent(path)
}

/// Writes `bytes` to `path`, which must not exist yet. After an error there is no file.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], or those of the file system.
pub fn create(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let file = written(path, bytes, access)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|refused| refused.error)?;
    sync_parent(path)
}

/// Makes the names in the folder of `path` durable.
///
/// # Errors
/// Those of the file system.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

fn written(path: &Path, bytes: &[u8], access: Access) -> io::Result<NamedTempFile> {
    let mode = match access {
        Access::Private => 0o600,
        Access::Usual => 0o666,
    };
    let mut file = Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(parent(path))?;
    file.write_all(bytes)?;
    Ok(file)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn w11_a_file_is_whole_or_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        create(&path, b"one", Access::Private).unwrap();
        assert_eq!(create(&path, b"two", Access::Private).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"one".to_vec(), 0o600));
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        replace(&path, b"three", Access::Usual).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"three".to_vec(), 0o640), "its mode stays");
        replace(&path, b"four", Access::Private).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"four".to_vec(), 0o600));
        assert!(replace(&folder.path().join("none/file"), b"", Access::Usual).is_err());
        fs::create_dir(folder.path().join("taken")).unwrap();
        assert!(replace(&folder.path().join("taken"), b"", Access::Usual).is_err());
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 2, "nothing is left of what failed");
    }
}
