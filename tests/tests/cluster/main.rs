//! Whole clusters: hosts as processes, real ZooKeeper servers, tenants' components. Each module is a promise.

mod admission;
mod apart;
mod backfill;
mod black_hole;
mod bugs;
mod chaos;
mod clock;
mod company;
mod compile;
mod embedded;
mod ensemble;
mod failover;
mod frozen;
mod hostile;
mod http;
mod kazoo;
mod lost_reply;
mod many;
mod operator;
mod placement;
mod prefer;
mod schedule_bugs;
mod schedules;
mod secrets;
mod stale_finish;
mod ticks;
