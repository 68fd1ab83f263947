use super::*;

/// Every URL of the table that the guest's library and the host's way out have in common.
fn table() -> impl Iterator<Item = [&'static str; 4]> {
    let rows =
        include_str!("../../../../tests/urls.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.map(|row| {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        columns.try_into().unwrap_or_else(|_| panic!("four columns: {row}"))
    })
}

#[test]
fn an_origin_is_written_in_one_way() {
    for (text, written) in [
        ("https://api.example.com", "https://api.example.com:443"),
        ("HTTP://API.Example.com", "http://api.example.com:80"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]", "http://[::1]:80"),
        ("https://[2001:DB8:0:0::1]:8443", "https://[2001:db8::1]:8443"),
    ] {
        assert_eq!(text.parse::<Origin>().unwrap().to_string(), written);
    }
}

#[test]
fn scheme_host_and_port_all_count() {
    let grants = HttpGrants { allow: vec!["https://a.example".parse().unwrap()], ..HttpGrants::default() };
    let allows = |text: &str| grants.allows(&text.parse().unwrap());
    assert!(allows("https://a.example:443") && allows("https://A.EXAMPLE"));
    for other in ["http://a.example:443", "https://b.a.example", "https://a.example:8443", "https://a.exampl"] {
        assert!(!allows(other), "{other}");
    }
    assert!(!HttpGrants::default().allows(&"https://a.example".parse().unwrap()), "nothing is granted by default");
}

#[test]
fn a_wildcard_is_for_the_names_below_and_for_nothing_else() {
    let grants = HttpGrants { allow: vec!["https://*.Example.com:8443".parse().unwrap()], ..HttpGrants::default() };
    assert_eq!(grants.allow[0].to_string(), "https://*.example.com:8443");
    let allows = |text: &str| grants.allows(&text.parse().unwrap());
    assert!(allows("https://a.example.com:8443") && allows("https://b.a.example.com:8443"));
    for other in [
        "https://example.com:8443",
        "https://badexample.com:8443",
        "https://a.example.com",
        "http://a.example.com:8443",
    ] {
        assert!(!allows(other), "{other}");
    }
}

#[test]
fn w10_a_grant_that_is_refused_says_what_to_write() {
    let refused = |text: &str| text.parse::<Allowed>().unwrap_err().reason;
    let refusals = [
        "http://localhost.:8080/",
        "http://127.0.0.1:/",
        "http://127.0.0.1:",
        "http://localhost.",
        "https://bücher.example",
        "https://*.BÜCHER.example:8443",
        "https://b%C3%BCcher.example",
        "https://API.example.com/v1/*",
        "https://api.example.com?x",
        "https://me:secret@api.example.com",
        "api.example.com",
        "*.example.com:8443",
        "127.0.0.1:8080/path",
        "//api.example.com",
        "ftp://api.example.com",
        "*://api.example.com",
        "https://*",
        "https://*.com",
        "https://*.0.0.1",
        "https://*example.com",
        "https://a.*.com",
        "https://*.*.com",
        "https://example.*",
        "https://example.com:*",
        "http://[fe80::1%25eth0]",
        "http://[v1.x]",
        "http://::1",
        "http://[::1]8080",
        "http://exa mple.com",
        "http://:80",
        "http://.",
        "http://a.example..",
        "http://a:0",
        "http://a:+80",
        "http://a:65536",
    ];
    let told: Vec<_> = refusals.iter().map(|text| format!("{text} -> {}", refused(text))).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    http://localhost.:8080/ -> its host ends with a dot, and it must end after the host or its port, because a grant is for all paths: write `http://localhost:8080`
    http://127.0.0.1:/ -> its port is empty, and it must end after the host or its port, because a grant is for all paths: write `http://127.0.0.1:80`
    http://127.0.0.1: -> its port is empty: write `http://127.0.0.1:80`
    http://localhost. -> its host ends with a dot: write `http://localhost:80`
    https://bücher.example -> its host must be in ASCII, in the punycode form: write `xn--bcher-kva.example`
    https://*.BÜCHER.example:8443 -> its host must be in ASCII, in the punycode form: write `xn--bcher-kva.example`
    https://b%C3%BCcher.example -> its host must be in ASCII, in the punycode form: write `xn--bcher-kva.example`
    https://API.example.com/v1/* -> it must end after the host or its port, because a grant is for all paths: write `https://api.example.com:443`
    https://api.example.com?x -> it must end after the host or its port, because a grant is for all paths: write `https://api.example.com:443`
    https://me:secret@api.example.com -> it must have no user and no password: write `https://api.example.com:443`
    api.example.com -> it must begin with `http://` or `https://`: write `https://api.example.com:443`
    *.example.com:8443 -> it must begin with `http://` or `https://`: write `https://*.example.com:8443`
    127.0.0.1:8080/path -> it must begin with `http://` or `https://`, and it must end after the host or its port, because a grant is for all paths: write `https://127.0.0.1:8080`
    //api.example.com -> it must begin with `http://` or `https://`
    ftp://api.example.com -> it must begin with `http://` or `https://`
    *://api.example.com -> it must begin with `http://` or `https://`
    https://* -> its wildcard must be the whole first part of a name, like `*.example.com`
    https://*.com -> its wildcard must stand before a name of two parts or more, like `*.example.com`
    https://*.0.0.1 -> its wildcard must stand before a name of two parts or more, like `*.example.com`
    https://*example.com -> its wildcard must be the whole first part of a name, like `*.example.com`
    https://a.*.com -> its wildcard must be the whole first part of a name, like `*.example.com`
    https://*.*.com -> its wildcard must be the whole first part of a name, like `*.example.com`
    https://example.* -> its wildcard must be the whole first part of a name, like `*.example.com`
    https://example.com:* -> its port must be one number: write a grant for each port
    http://[fe80::1%25eth0] -> its address must have no zone, which means something on one machine alone
    http://[v1.x] -> what stands in brackets must be an IPv6 address
    http://::1 -> its host must stand in brackets if it is an IPv6 address
    http://[::1]8080 -> its port must stand behind a colon
    http://exa mple.com -> its host must be a name, an IPv4 address or an IPv6 address in brackets
    http://:80 -> it names no host
    http://. -> it names no host
    http://a.example.. -> its host must be a name, an IPv4 address or an IPv6 address in brackets
    http://a:0 -> its port must be from 1 to 65535
    http://a:+80 -> its port must be from 1 to 65535
    http://a:65536 -> its port must be from 1 to 65535
    ");
}

/// The same table as for the guest's library and for requests.
#[test]
fn w10_grants_name_origins_as_urls_do() {
    for [url, origin, _, grant] in table() {
        let parsed = url.parse::<Allowed>();
        match (grant, parsed) {
            ("ok", Ok(allowed)) => assert_eq!(allowed.to_string(), origin, "{url}"),
            ("write", Err(error)) => assert!(error.reason.ends_with(&format!("write `{origin}`")), "{url}: {error}"),
            ("refused", Err(error)) => {
                let why = origin.strip_prefix("refused: ").unwrap_or_else(|| panic!("{url}: {origin}"));
                assert!(error.reason.contains(why), "{url}: {error}");
            }
            (wanted, parsed) => panic!("{url} is {parsed:?}, and not `{wanted}`"),
        }
    }
}
