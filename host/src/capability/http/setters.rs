//! What a guest writes into a request beside its headers, held to a size: the host keeps it for the guest, and it counts as
//! nobody's memory. (wasmtime-wasi-http bounds the headers alone.)

use wasmtime::component::{Linker, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi_http::p2::bindings::http::types::{HostOutgoingRequest as _, Method, Scheme};
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

/// The interface, as wasmtime-wasi-http links it.
const TYPES: &str = "wasi:http/types@0.2.12";
/// The longest of each: the least that RFC 9110 (4.1) asks of everybody who takes URIs.
pub(super) const MAX_SETTING_BYTES: usize = 8000;

type Request = Resource<HostOutgoingRequest>;
/// As the guest is told: refused, or not.
type Set = std::result::Result<(), ()>;

/// Links the setters of a request anew, each with a bound.
///
/// # Errors
/// Where the linker doesn't take them.
pub(in crate::capability) fn bound_setters<T: WasiHttpView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    linker.allow_shadowing(true);
    setter(linker, "method", |http, request, method| {
        if let Method::Other(name) = &method
            && is_too_long(name)
        {
            Ok(Err(()))
        } else {
            http.set_method(request, method)
        }
    })?;
    setter(linker, "scheme", |http, request, scheme: Option<Scheme>| match &scheme {
        Some(Scheme::Other(name)) if is_too_long(name) => Ok(Err(())),
        _ => http.set_scheme(request, scheme),
    })?;
    setter(linker, "authority", |http, request, authority: Option<String>| match &authority {
        Some(authority) if is_too_long(authority) => Ok(Err(())),
        _ => http.set_authority(request, authority),
    })?;
    setter(linker, "path-with-query", |http, request, path: Option<String>| match &path {
        Some(path) if is_too_long(path) => Ok(Err(())),
        _ => http.set_path_with_query(request, path),
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

fn setter<T: WasiHttpView + 'static, V: wasmtime::component::Lift + wasmtime::component::ComponentType + 'static>(
    linker: &mut Linker<T>,
    what: &str,
    set: impl Fn(&mut WasiHttpCtxView<'_>, Request, V) -> Result<Set> + Send + Sync + 'static,
) -> Result<()>
where
    (Request, V): wasmtime::component::ComponentNamedList + wasmtime::component::Lift,
{
    let name = format!("[method]outgoing-request.set-{what}");
    linker.instance(TYPES)?.func_wrap(&name, move |mut store: StoreContextMut<'_, T>, (request, value)| {
        Ok((set(&mut store.data_mut().http(), request, value)?,))
    })
}

fn is_too_long(text: &str) -> bool {
    text.len() > MAX_SETTING_BYTES
}
