//! The URL that `--server` and `SILVERBACK_SERVER` take: `http://HOST:PORT`.

use std::net::Ipv6Addr;

use ureq::http::uri::Authority;

use crate::text::plain;

/// What a URL looks like, for error messages.
const EXAMPLE: &str = "http://127.0.0.1:7070";

/// A host's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerUrl {
    /// A name or an address, an IPv6 one without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl ServerUrl {
    /// Parses `text`. Ignores whitespace and slashes around it; `http://` may be left out.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let authority = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                return Err(format!("a host does not speak TLS: write `http://`, as in {EXAMPLE}"));
            }
            Some(_) => return Err(format!("its scheme must be `http`, as in {EXAMPLE}")),
            None => text,
        };
        let authority = authority.trim_end_matches('/');
        if let Some(at) = authority.find(['/', '?', '#']) {
            return Err(format!("leave out what is behind the port, from `{}` on", &authority[at..=at]));
        }
        if authority.contains('@') {
            return Err("it has a user before `@`: leave that out, a host asks for none".to_owned());
        }
        if authority.matches(':').count() > 1 && !authority.starts_with('[') {
            return Err(format!("an IPv6 address goes into brackets: write {}", bracketed(authority)));
        }
        let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '[' | ']');
        if let Some(wrong) = authority.chars().find(|c| !is_known(*c)) {
            let wrong = plain(&wrong.to_string());
            return Err(format!("it has `{wrong}`, and must name one host, as in {EXAMPLE}"));
        }
        let parsed: Authority = authority.parse().map_err(|_| format!("it must be like {EXAMPLE}"))?;
        let host = parsed.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = match parsed.port().map(|port| port.as_u16()) {
            Some(port @ 1..) => port,
            _ if authority.len() > parsed.host().len() => {
                return Err(format!("its port must be a number from 1 to 65535, as in {EXAMPLE}"));
            }
            // As URLs have it.
            _ => 80,
        };
        if host.is_empty() {
            return Err(format!("it must be like {EXAMPLE}"));
        }
        Ok(ServerUrl { host, port })
    }
}

impl std::fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ServerUrl { host, port } = self;
        if host.contains(':') { write!(f, "http://[{host}]:{port}") } else { write!(f, "http://{host}:{port}") }
    }
}

/// The URL that is likely meant by an IPv6 address without brackets.
fn bracketed(authority: &str) -> String {
    match authority.rsplit_once(':') {
        Some((address, port)) if address.parse::<Ipv6Addr>().is_ok() => format!("http://[{address}]:{port}"),
        Some(_) | None => "http://[ADDRESS]:PORT".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w8_a_server_is_taken_in_every_harmless_form() {
        for (text, normal) in [
            ("http://127.0.0.1:7070", "http://127.0.0.1:7070"),
            (" http://127.0.0.1:7070//\n", "http://127.0.0.1:7070"),
            ("127.0.0.1:7070", "http://127.0.0.1:7070"),
            ("localhost:7070/", "http://localhost:7070"),
            ("HTTP://host_1.example.:7070", "http://host_1.example.:7070"),
            ("http://[::1]:7070", "http://[::1]:7070"),
            ("[::1]:7070", "http://[::1]:7070"),
            ("http://a", "http://a:80"),
        ] {
            assert_eq!(ServerUrl::parse(text).map(|url| url.to_string()), Ok(normal.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn w8_a_wrong_server_is_refused_with_the_remedy() {
        let wrong = [
            "",
            "http://",
            "https://127.0.0.1:7070",
            "ftp://127.0.0.1:7070",
            "http://127.0.0.1:7070/v1",
            "127.0.0.1:7070?x",
            "http://user:secret@127.0.0.1:7070",
            "::1:7070",
            "http://127.0.0.1:",
            "http://127.0.0.1:0",
            "http://127.0.0.1:70000",
            "127.0.0.1:port",
            "http://:7070",
            "http://a b:7070",
            "http://a,b:7070",
            "http://\u{1b}[2J:7070",
        ];
        let refusals: Vec<String> =
            wrong.iter().map(|text| format!("{text:?}: {}", ServerUrl::parse(text).unwrap_err())).collect();
        insta::assert_snapshot!(refusals.join("\n"));
    }
}
