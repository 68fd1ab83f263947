//! What the machine has for this process.

use std::fs;

/// Where a control group says how much memory its processes may have: of the second version, and of the first.
const BOUNDS: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// How much memory there is, in bytes: the machine's, or what a container is bound to.
pub(super) fn memory_bytes() -> u64 {
    let machine = rustix::system::sysinfo();
    let all = machine.totalram.saturating_mul(machine.mem_unit.into());
    let bounds = BOUNDS.iter().filter_map(|file| bound(&fs::read_to_string(file).ok()?));
    bounds.fold(all, u64::min)
}

/// None where it says that there is none.
fn bound(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_number_and_no_bound_is_none() {
        assert_eq!((bound("1073741824\n"), bound("max\n")), (Some(1 << 30), None));
        assert!(memory_bytes() >= 64 << 20, "the machine has some");
    }
}
