//! ZooKeeper, through the crate zookeeper-client.
/// See the module.
pub struct ZooKeeper;
