//! What the routes of a host under test ask.

use std::sync::Mutex;

use super::super::*;
use crate::registry::{Problems, Trigger};

/// The job whose election another program leads, under an identifier that begins so.
pub(super) const FOREIGN: &str = "foreign";
pub(super) const NASTY: &str = "\u{1b}]0;x\u{7}\n\u{9b}\u{202e}";

/// Host `a` leads everything but for [`FOREIGN`].
pub(super) struct Fake {
    pub(super) host: String,
    pub(super) artifacts: Artifacts,
    pub(super) resigned: Mutex<Vec<JobId>>,
    pub(super) drained: Mutex<Vec<bool>>,
    pub(super) problems: Problems,
}

#[async_trait]
impl Cluster for Fake {
    async fn admit(&self, _tenant: &str, bytes: Bytes, signers: Signers) -> Result<Digest, ApiError> {
        self.check_signature(&Digest::of(&bytes), &signers).await?;
        if bytes.starts_with(b"\0asm") {
            return Ok(self.artifacts.put(bytes).await?);
        }
        Err(ApiError::Invalid("not a component".to_owned()))
    }

    async fn check_signature(&self, _: &Digest, signers: &Signers) -> Result<(), ApiError> {
        let why = || ApiError::Invalid("nobody signed it".to_owned());
        if signers.is_none() { Ok(()) } else { Err(why()) }
    }

    fn election(&self, spec: &JobSpec) -> String {
        format!("/zoo/elections/{}", spec.id)
    }

    fn group(&self, spec: &JobSpec) -> Option<GroupRow> {
        match spec.trigger {
            Trigger::Leader { .. } => None,
            Trigger::Schedule { .. } => Some(GroupRow { group: 7, jobs: 12, tenants: 3 }),
        }
    }

    async fn contenders(&self, spec: &JobSpec) -> Result<Vec<ContenderRow>, ApiError> {
        if spec.id.name == FOREIGN {
            let identifier = format!("{NASTY}{}", "x".repeat(100_000));
            let znode = "x__lock__0000000001".to_owned();
            let (znode, token) = (Some(znode), Some(1));
            return Ok(vec![ContenderRow { identifier, host: None, znode, token, leader: true, problem: None }]);
        }
        let contender = |host: &str, token| ContenderRow {
            identifier: host.to_owned(),
            host: Some(host.to_owned()),
            znode: Some(format!("x__lock__000000000{token}")),
            token: Some(token),
            leader: host == "a",
            problem: None,
        };
        Ok(vec![contender("a", 1), contender("b", 2)])
    }

    async fn resign(&self, job: &JobId) -> Result<(), ApiError> {
        self.resigned.lock().unwrap().push(job.clone());
        Ok(())
    }

    async fn drain(&self) -> Result<(), ApiError> {
        self.drained.lock().unwrap().push(true);
        Ok(())
    }

    fn undrain(&self) {
        self.drained.lock().unwrap().push(false);
    }

    async fn trigger(&self, job: &JobId) -> Result<String, ApiError> {
        if self.host == "a" {
            Ok(format!("{job}/manual-1"))
        } else {
            Err(ApiError::Conflict(format!("host `{}` doesn't lead job `{job}`", self.host)))
        }
    }

    async fn backfill(&self, job: &JobId, from: Timestamp, to: Timestamp) -> Result<usize, ApiError> {
        self.trigger(job).await.map(|_| to.duration_since(from).as_secs() as usize)
    }

    async fn set_cursor(&self, job: &JobId, to: Timestamp) -> Result<Timestamp, ApiError> {
        self.trigger(job).await.map(|_| to)
    }

    fn group_number(&self, _: &JobId) -> u32 {
        7
    }

    fn problems(&self) -> Vec<Problem> {
        self.problems.list()
    }
}
