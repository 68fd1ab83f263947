//! What this host keeps of its cluster in its data folder: the cluster's id, the highest position that it has seen, and its mark.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::candidacy::{Keep, KnownCluster, Mark};
use crate::files::{self, Access};

const FILE: &str = "cluster.json";

/// The file, as JSON.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    /// By the root under which the cluster lives in the coordinator.
    clusters: BTreeMap<String, KeptCluster>,
}

#[derive(Serialize, Deserialize)]
struct KeptCluster {
    id: String,
    birth: i64,
    position: i64,
    /// Missing in a file from before hosts had marks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<Mark>,
}

/// Reads what `data` keeps of the cluster at `root`; None if it keeps nothing.
///
/// # Errors
/// If the file can't be read: without it, this host might lead an ensemble that was restored from an older state.
pub(super) fn read(data: &Path, root: &str) -> anyhow::Result<Option<KnownCluster>> {
    let path = data.join(FILE);
    let remedy =
        "restore it from a backup of the folder, or delete it if no fencing token of this cluster is in use any more";
    let kept = read_file(&path).with_context(|| format!("data: `{}` can't be read: {remedy}", path.display()))?;
    let cluster = |KeptCluster { id, birth, position, mark }| KnownCluster { id, birth, position, mark };
    Ok(kept.clusters.into_iter().find(|(known, _)| known == root).map(|(_, kept)| cluster(kept)))
}

/// Returns what writes the same, in place of what is there for `root`.
pub(super) fn keep(data: &Path, root: &str) -> Keep {
    let (data, root) = (data.to_owned(), root.to_owned());
    Arc::new(move |known| {
        let path = data.join(FILE);
        let KnownCluster { id, birth, position, mark } = known.clone();
        let written = read_file(&path).and_then(|mut kept| {
            kept.clusters.insert(root.clone(), KeptCluster { id, birth, position, mark });
            files::replace(&path, &serde_json::to_vec(&kept)?, Access::Private)
        });
        written.map_err(|error| io::Error::new(error.kind(), format!("`{}`: {error}", path.display())))
    })
}

fn read_file(path: &PathBuf) -> io::Result<Kept> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Kept::default()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidacy::Edition;

    fn known(id: &str, position: i64) -> KnownCluster {
        let mark = Mark { node: Edition { czxid: 9, version: 500 }, directory: Edition { czxid: 4, version: 2 } };
        KnownCluster { id: id.to_owned(), birth: 3, position, mark: Some(mark) }
    }

    #[test]
    fn a_file_from_before_hosts_had_marks_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let old = br#"{"clusters":{"/zoo":{"id":"x","birth":3,"position":7}}}"#;
        fs::write(folder.path().join(FILE), old).unwrap();
        assert_eq!(read(folder.path(), "/zoo").unwrap(), Some(KnownCluster { mark: None, ..known("x", 7) }));
    }

    #[test]
    fn what_is_kept_of_each_root_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        assert_eq!(read(data, "/zoo").unwrap(), None);
        let (zoo, other) = (keep(data, "/zoo"), keep(data, "/other"));
        zoo(&known("x", 7)).unwrap();
        other(&known("y", 900)).unwrap();
        zoo(&known("x", 8)).unwrap();
        assert_eq!(read(data, "/zoo").unwrap(), Some(known("x", 8)));
        assert_eq!(read(data, "/other").unwrap(), Some(known("y", 900)));
        assert_eq!(fs::read_dir(data).unwrap().count(), 1, "a file is left behind");
    }

    #[test]
    fn a_damaged_file_is_refused_and_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), b"{\"clusters\": {").unwrap();
        let error = format!("{:#}", read(folder.path(), "/zoo").unwrap_err());
        assert!(error.contains("cluster.json` can't be read: restore it from a backup"), "{error}");
        let error = keep(folder.path(), "/zoo")(&known("x", 7)).unwrap_err().to_string();
        assert!(error.contains("cluster.json`: "), "{error}");
    }
}
