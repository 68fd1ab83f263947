//! Backups of servers' data.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use tempfile::TempDir;

use super::{Ensemble, Server, StartError, ZooKeeperServer};

/// A copy of a server's data.
#[derive(Debug)]
pub struct Backup(TempDir);

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

impl ZooKeeperServer {
    /// Kills the server, copies its data, and starts it again.
    ///
    /// # Errors
    /// As [`ZooKeeperServer::start`], or if the data can't be copied.
    pub fn back_up(&mut self) -> Result<Backup> {
        self.kill();
        let copy = tempfile::tempdir()?;
        copy_files(&self.data(), copy.path())?;
        self.restart()?;
        Ok(Backup(copy))
    }

    /// Kills the server, puts the data of a backup in place of its own, and starts it again: it knows nothing of what came since.
    ///
    /// # Errors
    /// As [`ZooKeeperServer::back_up`].
    pub fn restore(&mut self, backup: &Backup) -> Result<()> {
        self.wipe_with(Some(backup.0.path()))
    }

    /// Kills the server, deletes its data, and starts it again.
    ///
    /// # Errors
    /// As [`ZooKeeperServer::back_up`].
    pub fn wipe(&mut self) -> Result<()> {
        self.wipe_with(None)
    }

    fn wipe_with(&mut self, data: Option<&Path>) -> Result<()> {
        self.kill();
        self.0.servers[0].replace_data(data)?;
        self.restart()
    }

    fn data(&self) -> PathBuf {
        self.0.servers[0].data()
    }
}

impl Ensemble {
    /// Copies the data of all servers while they run: the log of each as far as it goes.
    ///
    /// # Errors
    /// If the data can't be copied.
    pub fn copy_data(&self) -> Result<Vec<Backup>> {
        let copy = |server: &Server| {
            let copy = tempfile::tempdir()?;
            copy_files(&server.data(), copy.path())?;
            Ok(Backup(copy))
        };
        self.servers.iter().map(copy).collect()
    }

    /// Kills all servers, puts the data of a backup in place of theirs, and starts them again: they know nothing of what came since,
    /// and elect a leader anew.
    ///
    /// # Errors
    /// As [`ZooKeeperServer::restore`].
    pub fn restore(&mut self, backup: &[Backup]) -> Result<()> {
        (0..self.servers.len()).for_each(|index| self.kill(index));
        for (server, Backup(data)) in self.servers.iter_mut().zip(backup) {
            server.replace_data(Some(data.path()))?;
            server.launch()?;
        }
        for server in &mut self.servers {
            match server.wait_until_serving() {
                Ok(()) => {}
                Err(StartError::PortTaken) => bail!("port {} was taken while the server was down", server.port),
                Err(StartError::Other(error)) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Server {
    fn data(&self) -> PathBuf {
        self.home.join("data/version-2")
    }

    /// Puts other data in place of its own, or none.
    fn replace_data(&self, data: Option<&Path>) -> Result<()> {
        fs::remove_dir_all(self.data())?;
        fs::create_dir_all(self.data())?;
        data.map_or(Ok(()), |data| copy_files(data, &self.data()))
    }
}
