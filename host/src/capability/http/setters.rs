//! What a guest writes into a request beside its headers: read as RFC 3986 has it, and held to a size, since the host keeps it
//! for the guest, and it counts as nobody's memory. (wasmtime-wasi-http bounds the headers alone.)

use wasmtime::component::{Linker, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types::{
    ErrorCode, FutureIncomingResponse, HostOutgoingRequest as _, Method, RequestOptions, Scheme,
};
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;

use super::CONTEXT;
use crate::capability::host::Host;
use crate::history::LogLevel;
use crate::registry::{Origin, decoded};

/// The interfaces, as wasmtime-wasi-http links them.
const TYPES: &str = "wasi:http/types@0.2.12";
const HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";
/// The longest of each: the least that RFC 9110 (4.1) asks of everybody who takes URIs.
pub(super) const MAX_SETTING_BYTES: usize = 8000;

type Request = Resource<HostOutgoingRequest>;
/// As the guest is told: refused, or not.
type Set = std::result::Result<(), ()>;
/// How a request begins, or why it doesn't.
type Begun = std::result::Result<Resource<FutureIncomingResponse>, ErrorCode>;

/// Links the setters of a request anew, and what sends it.
///
/// # Errors
/// Where the linker doesn't take them.
pub(in crate::capability) fn bound_setters<T: 'static>(
    linker: &mut Linker<T>,
    host: fn(&mut T) -> &mut Host,
) -> Result<()> {
    linker.allow_shadowing(true);
    setter(linker, host, "method", |host, request, method| match &method {
        Method::Other(name) if is_too_long(name) => Ok(Err(())),
        _ => host.requests().set_method(request, method),
    })?;
    setter(linker, host, "scheme", |host, request, scheme: Option<Scheme>| match &scheme {
        Some(Scheme::Other(name)) if is_too_long(name) => Ok(Err(())),
        _ => host.requests().set_scheme(request, scheme.map(plain)),
    })?;
    setter(linker, host, "authority", set_authority)?;
    setter(linker, host, "path-with-query", set_path)?;
    linker.instance(HANDLER)?.func_wrap("handle", move |mut store: StoreContextMut<'_, T>, (request, options)| {
        Ok((handle(host(store.data_mut()), request, options)?,))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

fn setter<T: 'static, V: wasmtime::component::Lift + wasmtime::component::ComponentType + 'static>(
    linker: &mut Linker<T>,
    host: fn(&mut T) -> &mut Host,
    what: &str,
    set: impl Fn(&mut Host, Request, V) -> Result<Set> + Send + Sync + 'static,
) -> Result<()>
where
    (Request, V): wasmtime::component::ComponentNamedList + wasmtime::component::Lift,
{
    let name = format!("[method]outgoing-request.set-{what}");
    linker.instance(TYPES)?.func_wrap(&name, move |mut store: StoreContextMut<'_, T>, (request, value)| {
        Ok((set(host(store.data_mut()), request, value)?,))
    })
}

/// Schemes are the same in any case.
fn plain(scheme: Scheme) -> Scheme {
    match scheme {
        Scheme::Other(name) if name.eq_ignore_ascii_case("http") => Scheme::Http,
        Scheme::Other(name) if name.eq_ignore_ascii_case("https") => Scheme::Https,
        scheme => scheme,
    }
}

fn set_authority(host: &mut Host, request: Request, authority: Option<String>) -> Result<Set> {
    let Some(text) = authority else { return host.requests().set_authority(request, None) };
    if is_too_long(&text) {
        return Ok(too_long(host, "authority", text.len()));
    }
    let set = host.requests().set_authority(request, Some(decoded(&text)))?;
    if set.is_err() {
        let why = Origin::of_request("http", &text).err();
        refuse(host, "authority", &text, why.as_deref().unwrap_or("it is none"));
    }
    Ok(set)
}

fn set_path(host: &mut Host, request: Request, path: Option<String>) -> Result<Set> {
    let Some(text) = path else { return host.requests().set_path_with_query(request, None) };
    if is_too_long(&text) {
        return Ok(too_long(host, "path", text.len()));
    }
    match path_and_query(&text) {
        Ok(path) if is_too_long(&path) => Ok(too_long(host, "path, percent-encoded,", path.len())),
        Ok(path) => host.requests().set_path_with_query(request, Some(path)),
        Err(why) => {
            refuse(host, "path", &text, why);
            Ok(Err(()))
        }
    }
}

/// Sends a request. One without a path is for `/`.
fn handle(host: &mut Host, request: Request, options: Option<Resource<RequestOptions>>) -> Result<Begun> {
    let mut http = host.requests();
    let borrowed = || Resource::new_borrow(request.rep());
    if http.path_with_query(borrowed())?.is_none() {
        http.set_path_with_query(borrowed(), Some("/".to_owned()))?.expect("it is a path");
    }
    match http.handle(request, options) {
        Ok(response) => Ok(Ok(response)),
        Err(error) => Ok(Err(error.downcast()?)),
    }
}

/// Tells the run why the guest, which has no words for it, was refused.
fn refuse(host: &Host, what: &str, text: &str, why: &str) {
    host.log.say(LogLevel::Warn, CONTEXT, &format!("{what} `{text}` of a request is refused: {why}"));
}

/// Returns the path and query as they are sent: an empty path is `/`, and what can't stand there is percent-encoded, also a `%`
/// that begins no percent-encoding. A fragment is not sent.
fn path_and_query(text: &str) -> std::result::Result<String, &'static str> {
    let text = text.split('#').next().unwrap_or_default();
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("it must have no control characters; percent-encode them");
    }
    if !(text.is_empty() || text.starts_with(['/', '?'])) {
        return Err("it must begin with `/`");
    }
    let mut path = String::with_capacity(text.len() + 1);
    if !text.starts_with('/') {
        path.push('/');
    }
    for (index, byte) in text.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte);
        let digits = text.as_bytes().get(index + 1..index + 3);
        let encodes = byte == b'%' && digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        match is_plain || encodes {
            true => path.push(char::from(byte)),
            false => path.extend(['%', hex(byte >> 4), hex(byte & 15)]),
        }
    }
    Ok(path)
}

fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap_or('0').to_ascii_uppercase()
}

fn too_long(host: &Host, what: &str, bytes: usize) -> Set {
    let why = format!("the {what} of a request has {bytes} bytes, and the limit is {MAX_SETTING_BYTES}");
    host.log.say(LogLevel::Warn, CONTEXT, &why);
    Err(())
}

fn is_too_long(text: &str) -> bool {
    text.len() > MAX_SETTING_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same table as for grants and for the guest's library, as a guest without that library would set its parts.
    #[test]
    fn w10_the_parts_of_a_request_are_read_as_rfc_3986_has_them() {
        let rows = include_str!("../../../../tests/urls.txt").lines();
        for row in rows.filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let columns: Vec<&str> = row.split('|').map(str::trim).collect();
            let [url, wanted, path, _] = columns.try_into().unwrap();
            let Some((scheme, rest)) = url.split_once("://") else { continue };
            let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            match (wanted.strip_prefix("refused: "), Origin::of_request(scheme, authority)) {
                (None, Ok(origin)) => {
                    let sent = path_and_query(rest).unwrap();
                    assert_eq!((&*origin.to_string(), &*sent), (wanted, path), "{url}");
                }
                (Some(why), Err(told)) => assert!(told.contains(why), "{url}: {told}"),
                (_, found) => panic!("{url}: {found:?}"),
            }
        }
    }

    #[test]
    fn w10_a_path_that_is_none_is_refused_in_words() {
        for path in ["a/b", "*", "http://other.example/", "other.example:80", " /", "/a\nb", "/\0"] {
            assert!(path_and_query(path).is_err(), "{path:?}");
        }
        assert_eq!(["", "?", "#a", "/#a"].map(|path| path_and_query(path).unwrap()), ["/", "/?", "/", "/"]);
    }
}
