//! Which group a scheduled job belongs to. An election for each job doesn't scale, one for all of them neither; a fixed
//! number of groups does.

use super::JobId;

/// How many groups a cluster is made with. Fixed from then on: every host must compute the same group.
pub const DEFAULT_GROUPS: u32 = 256;

/// The job's group, below `groups`. FNV-1a over `tenant/job`: the same on every host and in every version.
pub fn group_of(job: &JobId, groups: u32) -> u32 {
    let name = job.tenant.bytes().chain([b'/']).chain(job.name.bytes());
    let hash =
        name.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    // The low bits of FNV are the weak ones; fold the high half in.
    ((hash ^ (hash >> 32)) % u64::from(groups.max(1))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: usize) -> JobId {
        JobId { tenant: "acme".to_owned(), name: format!("job-{name}") }
    }

    #[test]
    fn a_job_never_changes_its_group() {
        // Pinned: another value would make two hosts of different versions disagree on who runs a job.
        assert_eq!([0, 1, 2].map(|name| group_of(&id(name), 256)), [240, 63, 22]);
    }

    #[test]
    fn jobs_spread_over_the_groups() {
        let mut counts = vec![0; 256];
        (0..25_600).for_each(|name| counts[group_of(&id(name), 256) as usize] += 1);
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 50 && *most < 170, "{least}..{most}");
    }
}
