//! What an operator, or a clean-up tool, does to ZooKeeper's nodes by hand: another client, with no regard for Silverback.

use std::process::Command;

use crate::kazoo::python;
use crate::place;

/// The nodes of the servers of this connect string.
pub struct Tree {
    servers: String,
}

impl Tree {
    /// The nodes of `servers`. Connects anew for each call.
    pub fn of(servers: impl Into<String>) -> Self {
        Tree { servers: servers.into() }
    }

    /// Deletes a node and all below it.
    ///
    /// # Panics
    /// If it can't, or there is no such node.
    #[track_caller]
    pub fn delete(&self, path: &str) {
        self.call("delete", path, &[]);
    }

    /// Returns the names of a node's children; None if there is no such node.
    pub fn names(&self, path: &str) -> Option<Vec<String>> {
        let names = self.try_call("names", path, &[]).ok()?;
        Some(serde_json::from_str(&names).expect("a list of names"))
    }

    /// Sets a node's value.
    ///
    /// # Panics
    /// If it can't.
    #[track_caller]
    pub fn set(&self, path: &str, value: &str) {
        self.call("set", path, &[value]);
    }

    /// Lets everybody have these permissions, letters of `cdrwa`, on a node, which is created if it is missing.
    ///
    /// # Panics
    /// If it can't.
    #[track_caller]
    pub fn allow(&self, path: &str, permissions: &str) {
        self.call("allow", path, &[permissions]);
    }

    #[track_caller]
    fn call(&self, command: &str, path: &str, rest: &[&str]) -> String {
        self.try_call(command, path, rest).unwrap_or_else(|error| panic!("{command} {path}: {error}"))
    }

    fn try_call(&self, command: &str, path: &str, rest: &[&str]) -> Result<String, String> {
        let script = place::fixture("kazoo/tree.py");
        let output = Command::new(python()).arg(script).args([command, &self.servers, path]).args(rest).output();
        let output = output.expect("python can be started");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}
