//! helix#962: a list of children grew past what a reply may hold. druid#6647: a watch for each of very many nodes. Here neither
//! grows with the jobs: 5 000 of them in `make test`, 100 000 in `make soak`.

use std::time::Duration;

use silverback::coordinator::{Coordinator as _, ZooKeeper};
use silverback::registry::DEFAULT_GROUPS;
use silverback_tests::cli::HostRow;
use silverback_tests::cluster::Cluster;
use silverback_tests::crowd::{self, JOBS_OF_A_TENANT, counter};
use silverback_tests::host::ROOT;
use silverback_tests::soak;
use silverback_tests::wait::await_value;
use silverback_tests::zookeeper::ZooKeeperServer;

const TIMEOUT: Duration = Duration::from_secs(6);
const HOLD: Duration = Duration::from_secs(1);
const HOSTS: [&str; 3] = ["a", "b", "c"];
/// How long all may take until each group is led.
const HANGS: Duration = Duration::from_secs(120);
/// All of one host's watches but those of the groups that it stands for: of hosts, of tenants, of changes of jobs.
const OWN_WATCHES: u64 = 32;

#[test]
fn helix_962_and_druid_6647_neither_lists_nor_watches_grow_with_the_jobs() {
    let tenants = soak::times(5, 100);
    let server = ZooKeeperServer::start().unwrap();
    let mut cluster = Cluster::start_holding(&server.connect_string(), TIMEOUT, HOLD, &HOSTS[..1]);
    crowd::store(&mut cluster, &server.connect_string(), tenants).unwrap();
    HOSTS[1..].iter().for_each(|name| cluster.join(name));
    await_value("all groups to be led, by all hosts", HANGS, || {
        let rows: Vec<HostRow> = cluster.cli().rows(&["hosts"])?;
        let led: Vec<u32> = rows.iter().map(|row| row.groups_led).collect();
        let all = led.iter().sum::<u32>() == DEFAULT_GROUPS && led.iter().all(|led| *led > DEFAULT_GROUPS / 6);
        if all { Ok(()) } else { Err(format!("{led:?}")) }
    });

    let mntr = server.four_letter("mntr").unwrap();
    let (watches, ephemerals) =
        (counter(&mntr, "zk_watch_count").unwrap(), counter(&mntr, "zk_ephemerals_count").unwrap());
    let nodes = counter(&mntr, "zk_znode_count").unwrap();
    println!("{} jobs: {nodes} nodes, {watches} watches, {ephemerals} ephemerals", tenants * JOBS_OF_A_TENANT);
    assert!(nodes as usize > 2 * tenants * JOBS_OF_A_TENANT, "{nodes} nodes");
    let (groups, hosts) = (u64::from(DEFAULT_GROUPS), HOSTS.len() as u64);
    assert!(ephemerals <= 4 * groups, "{ephemerals} ephemerals");
    assert!(watches <= hosts * (groups + OWN_WATCHES), "{watches} watches");

    let (path, most) = longest_list(&server);
    println!("the longest list is that of {path}, of {most}");
    assert_eq!(most, JOBS_OF_A_TENANT, "{path}");
    let file = cluster.dir().join("more.toml");
    std::fs::write(&file, crowd::job("tenant-0", "one-more")).unwrap();
    let refused = cluster.cli().run(&["apply", &file.display().to_string()]);
    let why = "there are 1000 jobs of tenant `tenant-0` already, which is the limit";
    assert!(refused.code == Some(1) && refused.err.contains(why), "{refused:?}");
}

/// The node below the root with the most children.
fn longest_list(server: &ZooKeeperServer) -> (String, usize) {
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    threads.block_on(async {
        let zookeeper = ZooKeeper::new(&server.connect_string(), TIMEOUT).unwrap();
        let session = zookeeper.connect(TIMEOUT).await.unwrap();
        let (mut longest, mut level) = ((ROOT.to_owned(), 0), vec![ROOT.to_owned()]);
        while !level.is_empty() {
            let mut below = Vec::new();
            for some in level.chunks(512) {
                let lists = futures::future::join_all(some.iter().map(|path| session.list(path))).await;
                for (path, list) in some.iter().zip(lists) {
                    // What is gone by now had no children.
                    let list = list.unwrap_or_default();
                    if list.len() > longest.1 {
                        longest = (path.clone(), list.len());
                    }
                    below.extend(list.iter().map(|name| format!("{path}/{name}")));
                }
            }
            level = below;
        }
        session.close().await;
        longest
    })
}
