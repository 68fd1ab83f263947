//! Folders and files that belong to this process's user, and that others can't get into.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why something isn't ours alone. The text says what to do.
#[derive(Debug, Error)]
pub enum NotPrivate {
    /// It can't be made or looked at.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Whoever owns the link says where it leads.
    #[error("`{}` is a symbolic link to `{}`: name the folder itself", path.display(), target.display())]
    Link {
        /// Which.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A file, say.
    #[error("`{}` is no folder: name another", path.display())]
    NoFolder {
        /// Which.
        path: PathBuf,
    },
    /// Another user may do with it what they like.
    #[error("`{}` belongs to user {owner} and not to this process's user, {us}: `chown {us} {}`, or name another", path.display(), quoted(path))]
    Owner {
        /// Which.
        path: PathBuf,
        /// Its user.
        owner: u32,
        /// The user of this process.
        us: u32,
    },
    /// Its mode lets others in.
    #[error("`{}` has mode {mode:03o}, with which other users {what}: `chmod {advice:03o} {}`", path.display(), quoted(path))]
    Open {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// What others can do with it.
        what: &'static str,
        /// The mode that it should have.
        advice: u32,
    },
}

/// What other users may do with a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peeking {
    /// Nothing.
    Refused,
    /// Read it.
    Allowed,
}

/// Makes a folder with the missing ones above it, if it isn't there. What is made lets nobody else in.
///
/// # Errors
/// [`NotPrivate::Io`].
pub fn make_folder(path: &Path) -> Result<(), NotPrivate> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.or_else(|source| match fs::symlink_metadata(path) {
        // What is there is looked at by `check_folder`, which says what is wrong with it.
        Ok(_) => Ok(()),
        Err(_) => Err(NotPrivate::Io { path: path.to_owned(), source }),
    })
}

/// Checks that a folder is this user's own, that no symbolic link stands for it, and that nobody else can write in it or,
/// where `peeking` says so, look into it.
///
/// # Errors
/// [`NotPrivate`].
pub fn check_folder(path: &Path, peeking: Peeking) -> Result<(), NotPrivate> {
    // A slash at the end would follow a link.
    let path = &path.components().collect::<PathBuf>();
    let failed = |source| NotPrivate::Io { path: path.clone(), source };
    let found = fs::symlink_metadata(path).map_err(failed)?;
    if found.is_symlink() {
        let target = fs::canonicalize(path).or_else(|_| fs::read_link(path)).map_err(failed)?;
        return Err(NotPrivate::Link { path: path.clone(), target });
    }
    if !found.is_dir() {
        return Err(NotPrivate::NoFolder { path: path.clone() });
    }
    check_owner(path, &found, &[ours()])?;
    let mode = mode_of(&found);
    let (forbidden, what) = match peeking {
        Peeking::Refused => (0o077, "can get into it"),
        Peeking::Allowed => (0o022, "can write to it"),
    };
    if mode & forbidden == 0 {
        return Ok(());
    }
    Err(NotPrivate::Open { path: path.clone(), mode, what, advice: 0o700 })
}

/// Checks that an open file with a key is this user's own or the administrator's, and that others can't use it. `path` names
/// it in the error.
///
/// # Errors
/// [`NotPrivate`].
pub fn check_key_file(file: &File, path: &Path) -> Result<(), NotPrivate> {
    let found = file.metadata().map_err(|source| NotPrivate::Io { path: path.to_owned(), source })?;
    check_owner(path, &found, &[ours(), 0])?;
    let mode = mode_of(&found);
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(NotPrivate::Open { path: path.to_owned(), mode, what: "can use it", advice: 0o600 })
}

fn check_owner(path: &Path, found: &Metadata, owners: &[u32]) -> Result<(), NotPrivate> {
    if owners.contains(&found.uid()) {
        return Ok(());
    }
    Err(NotPrivate::Owner { path: path.to_owned(), owner: found.uid(), us: ours() })
}

fn ours() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn mode_of(found: &Metadata) -> u32 {
    found.permissions().mode() & 0o777
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    match text.chars().all(plain) && !text.starts_with('-') {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::symlink;

    use super::*;

    fn refusal(path: &Path, peeking: Peeking) -> String {
        check_folder(path, peeking).unwrap_err().to_string()
    }

    #[test]
    fn s14_a_folder_must_be_ours_alone_and_no_link() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/our data");
        make_folder(&folder).unwrap();
        make_folder(&folder).unwrap();
        assert_eq!(mode_of(&folder.parent().unwrap().metadata().unwrap()), 0o700);
        check_folder(&folder, Peeking::Refused).unwrap();

        let shown = folder.display().to_string();
        for (mode, peeking, what) in [
            (0o755, Peeking::Refused, "can get into it"),
            (0o710, Peeking::Refused, "can get into it"),
            (0o720, Peeking::Allowed, "can write to it"),
            (0o702, Peeking::Allowed, "can write to it"),
        ] {
            fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
            let wanted = format!("`{shown}` has mode {mode:o}, with which other users {what}: `chmod 700 '{shown}'`");
            assert_eq!(refusal(&folder, peeking), wanted);
        }
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        check_folder(&folder, Peeking::Allowed).unwrap();

        let link = place.path().join("link");
        symlink(&folder, &link).unwrap();
        for named in [link.clone(), link.join("")] {
            let target = fs::canonicalize(&folder).unwrap();
            let wanted =
                format!("`{}` is a symbolic link to `{}`: name the folder itself", link.display(), target.display());
            assert_eq!(refusal(&named, Peeking::Allowed), wanted);
        }
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(refusal(&file, Peeking::Allowed).ends_with("is no folder: name another"));
        make_folder(&file.join("below")).unwrap_err();
    }

    #[test]
    fn s14_what_belongs_to_another_user_is_named_with_the_remedy() {
        let place = tempfile::tempdir().unwrap();
        let found = place.path().metadata().unwrap();
        check_owner(place.path(), &found, &[found.uid()]).unwrap();
        let error = check_owner(place.path(), &found, &[found.uid() + 1]).unwrap_err().to_string();
        let (path, us) = (place.path().display(), ours());
        let wanted = format!(
            "`{path}` belongs to user {us} and not to this process's user, {us}: `chown {us} {path}`, or name another"
        );
        assert_eq!(error, wanted);
    }

    #[test]
    fn s14_a_key_file_that_others_can_use_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        check_key_file(file.as_file(), file.path()).unwrap();
        file.as_file().set_permissions(Permissions::from_mode(0o640)).unwrap();
        let error = check_key_file(file.as_file(), file.path()).unwrap_err().to_string();
        assert!(error.contains("has mode 640") && error.contains("`chmod 600 "), "{error}");
    }
}
