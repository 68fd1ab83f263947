//! Which headers a guest may not write, because its target would take them for the host's.

use hyper::HeaderMap;
use hyper::header::HeaderName;
use wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS;

use crate::registry::reads_like;

/// How the names of all headers begin that only a host writes.
const RESERVED: &str = "silverback-";

/// Returns whether a guest may not set this header, nor send it as a trailer. Targets that hand headers on as variables (CGI,
/// WSGI, PHP) read several names as one, so every name that reads like a forbidden one is forbidden too.
pub(super) fn is_forbidden(token_header: &HeaderName, name: &HeaderName) -> bool {
    let name = name.as_str();
    let is_reserved = name.get(..RESERVED.len()).is_some_and(|start| reads_like(start, RESERVED));
    is_reserved
        || reads_like(name, token_header.as_str())
        || DEFAULT_FORBIDDEN_HEADERS.iter().any(|forbidden| reads_like(name, forbidden.as_str()))
}

/// Removes what a guest may not set.
pub(super) fn remove_forbidden(token_header: &HeaderName, headers: &mut HeaderMap) {
    let forbidden: Vec<_> = headers.keys().filter(|name| is_forbidden(token_header, name)).cloned().collect();
    for name in forbidden {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden(token_header: &'static str, name: &str) -> bool {
        is_forbidden(&HeaderName::from_static(token_header), &name.parse().unwrap())
    }

    #[test]
    fn s11_no_name_that_reads_like_the_hosts_can_be_set() {
        for token_header in ["silverback-token", "x-fence"] {
            for name in [
                "silverback-token",
                "Silverback-Token",
                "silverback_token",
                "SILVERBACK_TENANT",
                "silverback-tenant",
                "silverback.token",
                "silverback-anything",
                "silverback-",
                "host",
                "transfer-encoding",
                "transfer_encoding",
                "proxy_authorization",
            ] {
                assert!(forbidden(token_header, name), "{name} beside {token_header}");
            }
        }
        for name in ["x-fence", "X_Fence", "x.fence", "x~fence"] {
            assert!(forbidden("x-fence", name), "{name}");
            assert!(!forbidden("silverback-token", name), "{name}");
        }
        for name in ["silverback", "silverbacks-token", "x-silverback-token", "content-type", "x-fence-2", "xfence"] {
            assert!(!forbidden("x-fence", name), "{name}");
        }
    }

    #[test]
    fn s11_what_is_forbidden_is_removed_with_all_its_values() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("silverback_token", "1"), ("silverback_token", "2"), ("colour", "silver"), ("x_fence", "3")]
        {
            headers.append(name, value.parse().unwrap());
        }
        remove_forbidden(&HeaderName::from_static("x-fence"), &mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["colour"]);
    }
}
