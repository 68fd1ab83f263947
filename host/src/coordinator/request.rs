//! What both implementations refuse before they do anything: paths that ZooKeeper doesn't take, and what is too large.

use super::limits::{MAX_MULTI_BYTES, MAX_MULTI_OPS, MAX_PATH_BYTES, MAX_VALUE_BYTES};
use super::{CreateMode, Error, MultiError, Op};

impl CreateMode {
    /// True where the server appends a number.
    pub(super) fn is_sequential(self) -> bool {
        match self {
            CreateMode::PersistentSequential | CreateMode::EphemeralSequential => true,
            CreateMode::Persistent | CreateMode::Ephemeral => false,
        }
    }

    /// True where the node goes with its session.
    pub(super) fn is_ephemeral(self) -> bool {
        match self {
            CreateMode::Ephemeral | CreateMode::EphemeralSequential => true,
            CreateMode::Persistent | CreateMode::PersistentSequential => false,
        }
    }
}

impl Op {
    /// The node it is about.
    pub(super) fn path(&self) -> &str {
        match self {
            Op::Check { path, .. } | Op::Create { path, .. } | Op::Set { path, .. } | Op::Delete { path, .. } => path,
        }
    }

    fn value(&self) -> &[u8] {
        match self {
            Op::Create { data, .. } | Op::Set { data, .. } => data,
            Op::Check { .. } | Op::Delete { .. } => &[],
        }
    }
}

/// The path of a child, where both are valid.
pub(super) fn child_of(path: &str, name: &str) -> Result<String, Error> {
    let child = format!("{}/{name}", path.trim_end_matches('/'));
    if name.contains('/') {
        return Err(Error::InvalidPath { path: child, reason: "a child's name has no slash" });
    }
    check_path(&child)?;
    Ok(child)
}

/// Refuses what ZooKeeper's server refuses, by the rules of its `PathUtils.validatePath`.
pub(super) fn check_path(path: &str) -> Result<(), Error> {
    let refuse = |reason| Err(Error::InvalidPath { path: path.to_owned(), reason });
    if path.len() > MAX_PATH_BYTES {
        return Err(too_large("path", path, path.len(), MAX_PATH_BYTES));
    }
    if path == "/" {
        return Ok(());
    }
    let Some(names) = path.strip_prefix('/') else {
        return refuse("it doesn't begin with a slash");
    };
    for name in names.split('/') {
        match name {
            "" if path.ends_with('/') => return refuse("it ends with a slash"),
            "" => return refuse("a name in it is empty"),
            "." | ".." => return refuse("it is relative"),
            _ => {}
        }
    }
    if names.chars().any(is_refused) {
        return refuse("a character in it is not allowed");
    }
    Ok(())
}

/// Java counts a character beyond U+FFFF as two surrogates, which are in the refused range.
fn is_refused(c: char) -> bool {
    matches!(u32::from(c), 0..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..)
}

/// Refuses a create before it is sent. The path of a sequential one may end with a slash: its name is the number.
pub(super) fn check_create(path: &str, data: &[u8], mode: CreateMode) -> Result<(), Error> {
    if path == "/" && !mode.is_sequential() {
        return Err(Error::NodeExists { path: path.to_owned() });
    }
    match path.strip_suffix('/') {
        Some("") => {}
        Some(parent) if mode.is_sequential() => check_path(parent)?,
        Some(_) | None => check_path(path)?,
    }
    check_value(path, data)
}

/// Refuses a set before it is sent.
pub(super) fn check_set(path: &str, data: &[u8]) -> Result<(), Error> {
    check_path(path)?;
    check_value(path, data)
}

/// Refuses a delete before it is sent.
pub(super) fn check_delete(path: &str) -> Result<(), Error> {
    if path == "/" {
        return Err(Error::InvalidPath { path: path.to_owned(), reason: "the root can't be deleted" });
    }
    check_path(path)
}

/// Refuses a multi before it is sent.
pub(super) fn check_multi(ops: &[Op]) -> Result<(), MultiError> {
    if ops.len() > MAX_MULTI_OPS {
        return Err(Error::TooManyOps { count: ops.len(), limit: MAX_MULTI_OPS }.into());
    }
    for (index, op) in ops.iter().enumerate() {
        check_op(op).map_err(|source| MultiError::Op { index, source })?;
    }
    let size = ops.iter().map(|op| op.path().len() + op.value().len()).sum();
    match ops.first() {
        Some(op) if size > MAX_MULTI_BYTES => Err(too_large("multi", op.path(), size, MAX_MULTI_BYTES).into()),
        Some(_) | None => Ok(()),
    }
}

fn check_op(op: &Op) -> Result<(), Error> {
    match op {
        Op::Check { path, .. } => check_path(path),
        Op::Create { path, data, mode } => check_create(path, data, *mode),
        Op::Set { path, data, .. } => check_set(path, data),
        Op::Delete { path, .. } => check_delete(path),
    }
}

fn check_value(path: &str, data: &[u8]) -> Result<(), Error> {
    if data.len() > MAX_VALUE_BYTES {
        return Err(too_large("value", path, data.len(), MAX_VALUE_BYTES));
    }
    Ok(())
}

fn too_large(what: &'static str, path: &str, size: usize, limit: usize) -> Error {
    Error::TooLarge { what, path: path.to_owned(), size, limit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_refused_as_the_server_refuses_them() {
        for path in ["/", "/a", "/a/b", "/a.b/..c", "/größe/名", "/a b"] {
            assert_eq!(check_path(path), Ok(()), "{path:?}");
        }
        for path in
            ["", "a", "//", "/a/", "/a//b", "/.", "/a/..", "/a/./b", "/a\0", "/a\u{85}", "/\u{1f98d}", "/\u{e000}"]
        {
            assert!(matches!(check_path(path), Err(Error::InvalidPath { .. })), "{path:?}");
        }
    }

    #[test]
    fn only_a_sequential_create_may_end_with_a_slash() {
        assert_eq!(check_create("/a/", b"", CreateMode::EphemeralSequential), Ok(()));
        assert_eq!(check_create("/", b"", CreateMode::PersistentSequential), Ok(()));
        assert!(matches!(check_create("/a/", b"", CreateMode::Ephemeral), Err(Error::InvalidPath { .. })));
        assert!(matches!(check_create("/a//", b"", CreateMode::EphemeralSequential), Err(Error::InvalidPath { .. })));
    }

    #[test]
    fn a_multi_over_a_limit_is_refused_with_the_limit() {
        let check = Op::Check { path: "/a".to_owned(), version: None };
        let many = vec![check; MAX_MULTI_OPS + 1];
        assert_eq!(check_multi(&many[1..]), Ok(()));
        assert_eq!(check_multi(&many).unwrap_err().to_string(), "a multi of 1001 operations is over the limit of 1000");
        let set = Op::Set { path: "/a".to_owned(), data: vec![0; MAX_VALUE_BYTES], version: None };
        assert_eq!(check_multi(std::slice::from_ref(&set)), Ok(()));
        assert_eq!(
            check_multi(&[set.clone(), set]).unwrap_err().to_string(),
            "multi of `/a` has 1048580 bytes, more than the limit of 786432"
        );
    }
}
