//! ZooKeeper's rules, one by one, and what must hold after any sequence of transactions.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const ME: Author = Author { session: 11, now_ms: 1000 };
const OTHER: Author = Author { session: 12, now_ms: 2000 };

fn create(path: &str, mode: CreateMode) -> Op {
    Op::Create { path: path.to_owned(), data: b"new".to_vec(), mode }
}

fn set(path: &str, version: Option<i32>) -> Op {
    Op::Set { path: path.to_owned(), data: b"set".to_vec(), version }
}

fn delete(path: &str, version: Option<i32>) -> Op {
    Op::Delete { path: path.to_owned(), version }
}

fn check(path: &str, version: Option<i32>) -> Op {
    Op::Check { path: path.to_owned(), version }
}

fn one(tree: &mut Tree, op: Op) -> Result<OpResult, Error> {
    tree.write(ME, vec![op]).map(|mut results| results.remove(0)).map_err(MultiError::into_error)
}

/// A tree with a persistent `/p` and an ephemeral `/e` of [`ME`].
fn tree() -> Tree {
    let mut tree = Tree::new();
    one(&mut tree, create("/p", CreateMode::Persistent)).unwrap();
    one(&mut tree, create("/e", CreateMode::Ephemeral)).unwrap();
    tree.take_events();
    tree
}

fn named(path: &str) -> String {
    path.to_owned()
}

#[test]
fn a_create_needs_a_parent_that_may_have_children() {
    let mut tree = tree();
    let failure = |op| one(&mut tree, op).unwrap_err();
    let errors = [
        create("/x/y", CreateMode::Persistent),
        create("/p", CreateMode::Ephemeral),
        create("/e/x", CreateMode::Persistent),
    ]
    .map(failure);
    assert_eq!(errors[0], Error::NoNode { path: named("/x/y") });
    assert_eq!(errors[1], Error::NodeExists { path: named("/p") });
    assert_eq!(errors[2], Error::ParentEphemeral { path: named("/e/x") });
}

#[test]
fn sequence_numbers_count_every_child_ever_created() {
    let mut tree = tree();
    one(&mut tree, create("/p/plain", CreateMode::Persistent)).unwrap();
    let first = one(&mut tree, create("/p/n-", CreateMode::PersistentSequential)).unwrap();
    assert_eq!(first, OpResult::Created(named("/p/n-0000000001")));
    one(&mut tree, delete("/p/n-0000000001", None)).unwrap();
    let second = one(&mut tree, create("/p/", CreateMode::EphemeralSequential)).unwrap();
    assert_eq!(second, OpResult::Created(named("/p/0000000002")));
}

#[test]
fn the_sequence_number_wraps_around() {
    let mut tree = tree();
    tree.set_next_sequence("/p", i32::MAX).unwrap();
    let names = [(); 2].map(|()| one(&mut tree, create("/p/n-", CreateMode::PersistentSequential)).unwrap());
    assert_eq!(names[0], OpResult::Created(named("/p/n-2147483647")));
    assert_eq!(names[1], OpResult::Created(named("/p/n--2147483648")));
    tree.set_next_sequence("/p", -1).unwrap();
    let last = one(&mut tree, create("/p/n-", CreateMode::PersistentSequential)).unwrap();
    assert_eq!(last, OpResult::Created(named("/p/n--000000001")), "ten characters with the sign, as Java prints it");
}

#[test]
fn a_set_counts_versions_and_keeps_the_birth() {
    let mut tree = tree();
    let born = tree.node("/p").unwrap().stat();
    let results = tree.write(OTHER, vec![set("/p", Some(0)), set("/p", Some(1))]).unwrap();
    let OpResult::Set(stat) = results[1] else { panic!("{results:?}") };
    assert_eq!((stat.version, stat.czxid, stat.ctime_ms), (2, born.czxid, born.ctime_ms));
    assert_eq!((stat.mzxid, stat.mtime_ms), (tree.zxid(), OTHER.now_ms));
    assert_eq!(one(&mut tree, set("/p", Some(0))), Err(Error::BadVersion { path: named("/p") }));
    assert_eq!(tree.get("/p").unwrap(), (b"set".to_vec(), stat));
}

#[test]
fn a_delete_needs_the_version_and_no_children() {
    let mut tree = tree();
    one(&mut tree, create("/p/x", CreateMode::Persistent)).unwrap();
    assert_eq!(one(&mut tree, delete("/p", Some(3))), Err(Error::BadVersion { path: named("/p") }));
    assert_eq!(one(&mut tree, delete("/p", Some(0))), Err(Error::NotEmpty { path: named("/p") }));
    one(&mut tree, delete("/p/x", Some(0))).unwrap();
    one(&mut tree, delete("/p", None)).unwrap();
    assert_eq!(one(&mut tree, delete("/p", None)), Err(Error::NoNode { path: named("/p") }));
}

#[test]
fn a_check_of_no_version_wants_the_node_only() {
    let mut tree = tree();
    one(&mut tree, set("/p", None)).unwrap();
    assert_eq!(one(&mut tree, check("/p", None)), Ok(OpResult::Checked));
    assert_eq!(one(&mut tree, check("/p", Some(1))), Ok(OpResult::Checked));
    assert_eq!(one(&mut tree, check("/p", Some(0))), Err(Error::BadVersion { path: named("/p") }));
    assert_eq!(one(&mut tree, check("/x", None)), Err(Error::NoNode { path: named("/x") }));
}

#[test]
fn operations_of_a_multi_see_the_earlier_ones_and_share_a_number() {
    let mut tree = tree();
    let before = tree.zxid();
    let ops = vec![
        create("/p/a", CreateMode::Persistent),
        set("/p/a", Some(0)),
        check("/p/a", Some(1)),
        create("/p/a/b", CreateMode::Persistent),
        delete("/p/a/b", None),
    ];
    tree.write(ME, ops).unwrap();
    assert_eq!(tree.zxid(), before + 1);
    assert_eq!(tree.node("/p/a").unwrap().czxid, before + 1);
    let kinds: Vec<EventKind> = tree.take_events().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Created, EventKind::Changed, EventKind::Created, EventKind::Deleted]);
}

#[test]
fn the_end_of_a_session_takes_its_ephemerals_in_one_transaction() {
    let mut tree = tree();
    one(&mut tree, create("/p/mine-", CreateMode::EphemeralSequential)).unwrap();
    tree.write(OTHER, vec![create("/p/other", CreateMode::Ephemeral)]).unwrap();
    let before = tree.zxid();
    tree.end_session(ME.session);
    assert_eq!(tree.zxid(), before + 1);
    assert_eq!(tree.list("/").unwrap(), ["p"]);
    assert_eq!(tree.list("/p").unwrap(), ["other"]);
    tree.end_session(ME.session);
    assert_eq!(tree.zxid(), before + 1, "nothing was left to end");
}

fn any_mode() -> impl Strategy<Value = CreateMode> {
    prop_oneof![
        Just(CreateMode::Persistent),
        Just(CreateMode::Ephemeral),
        Just(CreateMode::PersistentSequential),
        Just(CreateMode::EphemeralSequential),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    let path = || prop::sample::select(vec!["/a", "/b", "/a/a", "/a/b", "/b/a", "/a/a/a"]);
    let version = || prop::option::weighted(0.3, 0..2i32);
    prop_oneof![
        4 => (path(), any_mode()).prop_map(|(path, mode)| create(path, mode)),
        2 => (path(), version()).prop_map(|(path, version)| set(path, version)),
        2 => (path(), version()).prop_map(|(path, version)| delete(path, version)),
        1 => (path(), version()).prop_map(|(path, version)| check(path, version)),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Write(Author, Vec<Op>),
    End(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let author = prop::sample::select(vec![ME, OTHER]);
    prop_oneof![
        8 => (author.clone(), vec(any_op(), 1..5)).prop_map(|(author, ops)| Step::Write(author, ops)),
        1 => author.prop_map(|author| Step::End(author.session)),
    ]
}

type Snapshot = (HashMap<String, Node>, HashMap<i64, BTreeSet<String>>, i64);

fn snapshot(tree: &Tree) -> Snapshot {
    (tree.nodes.clone(), tree.ephemerals.clone(), tree.zxid)
}

fn invariant_every_node_hangs_on_its_parent(tree: &Tree) {
    for (path, node) in &tree.nodes {
        if let Some(parent) = parent_of(path) {
            assert!(tree.nodes[parent].children.contains(name_of(path)), "{path} is no child of its parent");
        }
        for child in &node.children {
            let child = if path == "/" { format!("/{child}") } else { format!("{path}/{child}") };
            assert!(tree.nodes.contains_key(&child), "{child} is listed and does not exist");
        }
        assert!(node.children.is_empty() || !node.is_ephemeral(), "{path} is ephemeral and has children");
    }
}

fn invariant_owned_are_the_ephemerals(tree: &Tree) {
    let mut owned: HashMap<i64, BTreeSet<String>> = HashMap::new();
    for (path, node) in tree.nodes.iter().filter(|(_, node)| node.is_ephemeral()) {
        owned.entry(node.ephemeral_owner).or_default().insert(path.clone());
    }
    assert_eq!(owned, tree.ephemerals);
}

fn invariant_zxids_rise(before: &Snapshot, tree: &Tree) {
    for (path, node) in &tree.nodes {
        assert!(node.value.mzxid >= node.czxid && node.value.mzxid <= tree.zxid);
        match before.0.get(path) {
            Some(old) if old.czxid == node.czxid => assert!(node.value.mzxid >= old.value.mzxid),
            Some(old) => assert!(node.czxid > old.czxid, "{path} was born again with an older number"),
            None => assert!(node.czxid > before.2, "{path} is new and has an old number"),
        }
    }
}

proptest! {
    #[test]
    fn any_sequence_of_transactions_keeps_the_invariants(steps in vec(any_step(), 1..40)) {
        let mut tree = Tree::new();
        for step in steps {
            let before = snapshot(&tree);
            match step {
                Step::Write(author, ops) => {
                    if tree.write(author, ops).is_err() {
                        prop_assert_eq!(snapshot(&tree), before.clone(), "a failed transaction left something");
                        prop_assert_eq!(tree.take_events(), vec![]);
                    }
                }
                Step::End(session) => {
                    tree.end_session(session);
                    prop_assert!(!tree.ephemerals.contains_key(&session));
                }
            }
            tree.take_events();
            invariant_every_node_hangs_on_its_parent(&tree);
            invariant_owned_are_the_ephemerals(&tree);
            invariant_zxids_rise(&before, &tree);
        }
    }
}
