//! What is taken as a connect string, and what is refused in which words.

use super::*;

fn parsed(text: &str) -> String {
    ConnectString::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}")).to_string()
}

fn refused(text: &str) -> String {
    match ConnectString::parse(text) {
        Ok(parsed) => panic!("{text:?} is taken as {parsed}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn w8_what_is_harmless_is_trimmed() {
    for (text, canonical) in [
        ("a", "a:2181"),
        ("127.0.0.1:2181,[::1]:2182", "127.0.0.1:2181,[::1]:2182"),
        ("127.0.0.1:1, 127.0.0.1:2181", "127.0.0.1:1,127.0.0.1:2181"),
        ("\t127.0.0.1:1 ,\u{a0}127.0.0.1:2181 \r\n", "127.0.0.1:1,127.0.0.1:2181"),
        ("a:1,b:2/root", "a:1,b:2/root"),
        ("a:1,b:2 /some/x/ ", "a:1,b:2/some/x"),
        ("a:1/", "a:1"),
        ("a:1///", "a:1"),
        ("a:1,A:1,a:2,a:1", "a:1,a:2"),
        ("Zk-1.Example.COM:02181", "zk-1.example.com:2181"),
        ("zoo_keeper:2181,zk.example.:2181", "zoo_keeper:2181,zk.example.:2181"),
        ("[::1]", "[::1]:2181"),
        ("[FE80::1%eth0]:2181", "[fe80::1%eth0]:2181"),
        ("xn--gre-6ka8i.example", "xn--gre-6ka8i.example:2181"),
        ("a/größe/b.c", "a:2181/größe/b.c"),
    ] {
        assert_eq!(parsed(text), canonical);
    }
}

#[test]
fn w8_what_is_wrong_is_refused_with_the_remedy() {
    let long = "a".repeat(64);
    let refusals: Vec<String> = [
        "",
        "  ",
        "a:1,",
        ",a:1",
        "a:1,,b:1",
        "/root",
        "a:b",
        "a:",
        ":2181",
        "a:0",
        "a:70000",
        "a:+2181",
        "a:-1",
        "::1:2181",
        "2001:db8::1",
        "a:1:2",
        "[::1",
        "[a]:2181",
        "[::1]2181",
        "[::1]:",
        "[fe80::1%]:2181",
        "a;b",
        "a:1 b:1",
        "a|b",
        "\"a:2181\"",
        "größe:2181",
        "a\u{1b}[2J:2181",
        "256.0.0.1:2181",
        "127.0.0.01",
        "a..b",
        long.as_str(),
        "http://127.0.0.1:2181",
        "zk://a:1,b:1/root",
        "a:1, tcp://u:secret@b:1",
        "user:secret@a:2181",
        "a:1/x,b:1/y",
        "a:1/x,b:1",
        "a:1//x",
        "a:1/x//y",
        "a:1/./x",
        "a:1/../x",
        "a:1/x y",
        "a:1/x\u{0}",
        "a:1/zookeeper/x",
    ]
    .map(refused)
    .into();
    insta::assert_snapshot!(refusals.join("\n"));
    assert!(!refusals.iter().any(|refusal| refusal.contains("secret")));
}

#[test]
fn w8_a_list_or_a_chroot_without_end_is_refused() {
    let list = |count: usize| (0..count).map(|at| format!("zk-{at}")).collect::<Vec<_>>().join(",");
    assert!(ConnectString::parse(&list(64)).is_ok());
    assert!(refused(&list(65)).ends_with(": 65 servers, more than the limit of 64"));
    assert!(refused(&list(100_000)).len() < 300);
    assert!(ConnectString::parse(&format!("a/{}", "x".repeat(254))).is_ok());
    let long = refused(&format!("a/{}", "x".repeat(255)));
    assert!(long.ends_with(": a chroot has at most 255 bytes, and this one has 256"), "{long}");
}
