//! Names of contenders, and who is ahead of whom.
//!
//! kazoo writes `<uuid hex>__lock__<number>`, Curator `_c_<uuid>-lock-<number>`. All children of one parent share the
//! server's counter, so across libraries the number alone is the order. It is an `int32` that the server prints with
//! `%010d` and that wraps: after 2147483647 comes -2147483648. Comparing names as text is what made kazoo#730 re-elect
//! for ever; numbers are compared here as serial numbers (RFC 1982), so that the one after the wrap is the younger.

/// A child of an election's path that stands in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Contender {
    name: String,
    number: i32,
}

impl Contender {
    /// Reads a child's name; None where it is no contender's (kazoo's read locks, markers, foreign nodes).
    pub fn parse(name: &str) -> Option<Self> {
        let after = |marker: &str| name.rfind(marker).map(|at| &name[at + marker.len()..]);
        let digits = after("__lock__").or_else(|| after("-lock-"))?;
        let number: i32 = digits.parse().ok()?;
        // As the server prints it, and in no other way: `+5` or `5` is somebody else's.
        (format!("{number:010}") == digits).then(|| Contender { name: name.to_owned(), number })
    }

    /// The child's name, without the election's path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server's number.
    pub fn number(&self) -> i32 {
        self.number
    }

    /// True where `self` was created before `other`, as long as fewer than 2^31 were created between them.
    pub fn is_ahead_of(&self, other: &Contender) -> bool {
        self.number.wrapping_sub(other.number) < 0
    }
}

/// Whose form the names of our contenders have. Curator reads the number behind `lock-` and takes any other name for one
/// that stands behind all of its own, so where it stands, names must have its form. No name has both: each library wants
/// its own marker directly before the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// kazoo's: its programs count such contenders.
    #[default]
    Kazoo,
    /// Curator's: its programs count such contenders, and kazoo's that have `-lock-` among their `extra_lock_patterns`.
    Curator,
}

/// The name, up to the number, of a contender of ours in Curator's form; `id` as for [`lock_prefix`].
pub fn curator_prefix(id: &str) -> String {
    format!("_c_{id}-lock-")
}

/// The name, up to the number, of a contender of ours in kazoo's form. `id` is 32 hexadecimal digits of a UUID that is made
/// anew for each attempt to join, so that a create whose reply was lost is found again.
pub fn lock_prefix(id: &str) -> String {
    format!("{id}__lock__")
}

/// The contenders among `children`, the leader first.
pub fn in_order<S: AsRef<str>>(children: impl IntoIterator<Item = S>) -> Vec<Contender> {
    let mut queue: Vec<Contender> = children.into_iter().filter_map(|name| Contender::parse(name.as_ref())).collect();
    // Distances from one of them are a total order, which the pairwise serial comparison is not.
    let Some(base) = queue.first().map(|contender| contender.number) else { return queue };
    queue.sort_by_key(|contender| contender.number.wrapping_sub(base));
    queue
}

/// Who stands directly ahead of `me`; None where `me` is first. The outer None: `me` is not in the queue.
pub fn ahead_of(me: &str, queue: &[Contender]) -> Option<Option<Contender>> {
    let at = queue.iter().position(|contender| contender.name == me)?;
    Some(at.checked_sub(1).map(|ahead| queue[ahead].clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(children: &[&str]) -> Vec<String> {
        in_order(children).into_iter().map(|contender| contender.name).collect()
    }

    #[test]
    fn the_number_orders_across_libraries() {
        let kazoo = "ffff__lock__0000000003";
        let curator = "_c_0b1e-lock-0000000001";
        let ours = "0000__lock__0000000002";
        assert_eq!(names(&[kazoo, curator, ours]), [curator, ours, kazoo]);
    }

    #[test]
    fn the_number_stands_directly_behind_the_marker_that_each_library_looks_for() {
        assert_eq!(lock_prefix("0b1e"), "0b1e__lock__");
        assert_eq!(curator_prefix("0b1e"), "_c_0b1e-lock-");
        for name in [lock_prefix("0b1e"), curator_prefix("0b1e")].map(|prefix| prefix + "0000000007") {
            assert_eq!(Contender::parse(&name).map(|contender| contender.number), Some(7), "{name}");
        }
    }

    #[test]
    fn what_is_no_contender_is_left_out() {
        for name in ["marker", "a__rlock__0000000001", "a__lock__", "a__lock__12", "a__lock__+000000012", "-lock-x"] {
            assert_eq!(Contender::parse(name), None, "{name}");
        }
    }

    #[test]
    fn negative_numbers_are_read_as_the_server_prints_them() {
        for (name, number) in [
            ("a__lock__-2147483648", i32::MIN),
            ("a__lock__-000000005", -5),
            ("_c_a-lock--000000005", -5),
            ("a__lock__2147483647", i32::MAX),
        ] {
            assert_eq!(Contender::parse(name).map(|contender| contender.number), Some(number), "{name}");
        }
    }

    #[test]
    fn the_one_after_the_wrap_is_the_younger() {
        let before = "b__lock__2147483646";
        let last = "c__lock__2147483647";
        let after = "a__lock__-2147483648";
        assert_eq!(names(&[after, last, before]), [before, last, after]);
        let queue = in_order([after, last, before]);
        assert_eq!(ahead_of(after, &queue).unwrap().unwrap().name, last);
        assert_eq!(ahead_of(before, &queue), Some(None));
        assert_eq!(ahead_of("gone__lock__0000000001", &queue), None);
    }

    proptest::proptest! {
        #[test]
        fn order_is_creation_order_wherever_the_counter_stands(start: i32, count in 1..50i32, shuffle: u64) {
            let made: Vec<String> =
                (0..count).map(|i| format!("x{i}__lock__{:010}", start.wrapping_add(i))).collect();
            let mut seen = made.clone();
            seen.sort_by_key(|name| {
                name.bytes().fold(shuffle, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)))
            });
            let ordered: Vec<String> = in_order(&seen).into_iter().map(|contender| contender.name).collect();
            proptest::prop_assert_eq!(ordered, made);
        }
    }
}
