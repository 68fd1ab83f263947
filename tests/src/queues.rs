//! Who stands in which group of scheduled jobs, read from a server's `dump`: all of it at one moment.

use std::collections::{BTreeMap, BTreeSet};

use crate::zookeeper::ZooKeeperServer;

/// The queues of all groups of the cluster below `/silverback`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queues {
    /// For each group that somebody stands in, the contenders in the order of the queue.
    pub groups: BTreeMap<String, Vec<Stander>>,
    /// How many ephemeral nodes there are, whoever's.
    pub ephemerals: usize,
}

/// A host in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stander {
    /// Its name; empty where its session has no node of a host.
    pub host: String,
    /// Its contender's node.
    pub znode: String,
}

impl Queues {
    /// As they are now.
    ///
    /// # Errors
    /// Where the server doesn't answer.
    pub fn of(server: &ZooKeeperServer) -> anyhow::Result<Self> {
        Ok(Self::parse(&server.four_letter("dump")?))
    }

    fn parse(dump: &str) -> Self {
        let mut sessions: Vec<Vec<&str>> = Vec::new();
        for line in dump.lines().skip_while(|line| !line.starts_with("Sessions with Ephemerals")).skip(1) {
            match line.strip_prefix('\t') {
                Some(path) if path.starts_with('/') => sessions.last_mut().expect("its session comes first").push(path),
                // Of the connections, which come after.
                Some(_) => {}
                None => sessions.push(Vec::new()),
            }
        }
        let mut queues = Queues { ephemerals: sessions.iter().map(Vec::len).sum(), ..Queues::default() };
        for paths in sessions {
            let host = paths.iter().find_map(|path| path.strip_prefix("/silverback/hosts/")).unwrap_or_default();
            for (group, znode) in
                paths.iter().filter_map(|path| path.strip_prefix("/silverback/groups/")?.split_once('/'))
            {
                let stander = Stander { host: host.to_owned(), znode: znode.to_owned() };
                queues.groups.entry(group.to_owned()).or_default().push(stander);
            }
        }
        for queue in queues.groups.values_mut() {
            queue.sort_by_key(|stander| stander.znode.rsplit("__").next().map(str::to_owned));
        }
        queues
    }

    /// The first in the queue of each group.
    pub fn leaders(&self) -> BTreeMap<String, Stander> {
        self.groups.iter().filter_map(|(group, queue)| Some((group.clone(), queue.first()?.clone()))).collect()
    }

    /// The groups that this host is the first of.
    pub fn led_by(&self, host: &str) -> BTreeSet<String> {
        self.leaders().into_iter().filter(|(_, leader)| leader.host == host).map(|(group, _)| group).collect()
    }

    /// How many stand in the longest queue, and in the shortest.
    pub fn lengths(&self) -> (usize, usize) {
        let lengths = self.groups.values().map(Vec::len);
        (lengths.clone().max().unwrap_or(0), lengths.min().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_read_as_queues() {
        let dump = "SessionTracker dump:\n\nephemeral nodes dump:\nSessions with Ephemerals (2):\n0x1:\n\
                    \t/silverback/hosts/a\n\t/silverback/groups/0007/00ff__lock__0000000002\n0x2:\n\
                    \t/silverback/hosts/b\n\t/silverback/groups/0007/ff00__lock__0000000001\n\
                    Connections dump:\nConnections Sets (1)/(1):\n0 expire at Mon:\n1 expire at Tue:\n\tip: /127.0.0.1:1\n";
        let queues = Queues::parse(dump);
        assert_eq!((queues.ephemerals, queues.lengths()), (4, (2, 2)));
        assert_eq!(queues.led_by("b"), BTreeSet::from(["0007".to_owned()]));
        assert_eq!(queues.groups["0007"][1].host, "a");
    }
}
