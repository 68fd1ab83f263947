//! One request: a connection of its own, the exchange on it, and the limits on both.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures::future::{Fuse, FusedFuture as _, FutureExt as _};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use tracing::warn;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::body::{Answer, Guarded, headers_bytes};
use super::stream::{Duplex, Noting};
use super::{MAX_CONNECT_TIME, MAX_HEAD_BYTES, MAX_HEADERS, MAX_REQUEST_TIME, Outlet, Room, error};
use crate::capability::{Inside, Refusal};
use crate::registry::{Origin, Scheme};

/// Drives what is left of an exchange once its response has begun.
pub(super) type Ending = Box<dyn Future<Output = Result<(), Error>> + Send>;
/// A response that has begun, and its connection.
pub(super) type Sending = Result<(Response<WasiBody>, Ending), Error>;

type Connection = Fuse<http1::Connection<TokioIo<Noting>, Guarded>>;

/// How much longer than its request a connection stands: whoever reads the response then learns that time is over,
/// instead of what would look like the response's end.
const GRACE: Duration = Duration::from_secs(1);

/// Sends a request, if it is granted and its term stands. The term isn't given up before `inside` is gone, which goes
/// with the connection.
pub(super) async fn send(
    outlet: Arc<Outlet>,
    inside: Inside,
    request: Request<WasiBody>,
    options: RequestOptions,
) -> Sending {
    let target = outlet.granted(&request)?;
    outlet.meter.transfer(head_bytes(&request)).map_err(|_| Error::HttpRequestDenied)?;
    let room = outlet.enter().await?;
    let mut time = Box::pin(sleep(MAX_REQUEST_TIME));
    let (exchange, room) = begin(&outlet, &target, request, &options, room).await?;
    let sent = exchange.sent.clone();
    let first_byte = bounded(options.first_byte_timeout, MAX_REQUEST_TIME);
    let answered = tokio::select! {
        biased;
        () = &mut time => Err(Error::HttpResponseTimeout),
        answered = timeout(first_byte, answer(exchange)) => match answered {
            Ok(answered) => answered.map_err(error::exchange),
            Err(_) => Err(Error::ConnectionReadTimeout),
        },
    };
    let (response, connection) = answered.map_err(|why| unanswered(&outlet, &target, why, &sent))?;
    let silence = bounded(options.between_bytes_timeout, MAX_REQUEST_TIME);
    outlet.meter.transfer(headers_bytes(response.headers())).map_err(|_| Error::ConnectionTerminated)?;
    let stands_until = time.deadline() + GRACE;
    let response =
        response.map(|body| Answer::new(body, silence, time, outlet.meter.clone(), room.clone()).boxed_unsync());
    Ok((response, Box::new(finish(connection, stands_until, inside, room))))
}

/// Returns how the guest is told that there is no response. If nothing was sent, the target has seen nothing, and the guest
/// learns what went wrong; else nobody knows what the target did.
fn unanswered(outlet: &Outlet, target: &Origin, why: Error, sent: &AtomicBool) -> Error {
    if let Error::HttpRequestBodySize(Some(bytes)) = &why {
        outlet.say(&format!(
            "request to `{target}` was broken off: {bytes} bytes of its body aren't what its content-length says"
        ));
    }
    match sent.load(Ordering::Acquire) {
        true => error::unanswered(&why),
        false if outlet.gate.is_over() => error::refused(Refusal::Over),
        false => why,
    }
}

/// Nothing of it is sent yet.
struct Exchange {
    sender: SendRequest<Guarded>,
    connection: Connection,
    request: Request<Guarded>,
    /// True once something was sent.
    sent: Arc<AtomicBool>,
}

/// Connects, and makes the request ready. Each wait has a limit of its own.
async fn begin(
    outlet: &Arc<Outlet>,
    target: &Origin,
    mut request: Request<WasiBody>,
    options: &RequestOptions,
    room: Room,
) -> Result<(Exchange, Room), Error> {
    outlet.pass().await?;
    let connecting = timeout(bounded(options.connect_timeout, MAX_CONNECT_TIME), connect(outlet, target, room));
    let (stream, room) = connecting.await.map_err(|_| Error::ConnectionTimeout)??;
    let (stream, sent) = Noting::new(stream);
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .max_header_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(error::exchange)?;
    outlet.sign(&mut request, target);
    *request.uri_mut() = request_target(request.uri())?;
    let (head, body) = request.into_parts();
    let body = Guarded::new(body, &head.headers, outlet.clone());
    // The connection may have taken long.
    outlet.pass().await?;
    let request = Request::from_parts(head, body);
    Ok((Exchange { sender, connection: connection.fuse(), request, sent }, room))
}

/// Returns what a server is told of a URI: the path and the query. The rest is for proxies.
fn request_target(uri: &Uri) -> Result<Uri, Error> {
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let whole = match path.as_bytes().first() {
        Some(b'/') => path.parse(),
        Some(b'?') | None => format!("/{path}").parse(),
        // `*`, or another URI, which would speak to somebody else.
        Some(_) => return Err(Error::HttpRequestUriInvalid),
    };
    whole.map_err(|_| Error::HttpRequestUriInvalid)
}

/// Sends the request, and drives the connection until the response has begun.
async fn answer(exchange: Exchange) -> hyper::Result<(Response<Incoming>, Connection)> {
    let Exchange { mut sender, mut connection, request, sent: _ } = exchange;
    let mut answered = Box::pin(sender.send_request(request));
    let response = tokio::select! {
        biased;
        response = &mut answered => response?,
        // A connection that has ended well left the response behind.
        ended = &mut connection => { ended?; answered.await? }
    };
    Ok((response, connection))
}

/// Drives the rest of a connection. What goes wrong there, the body of the response tells.
/// A target may have answered before the guest has said all, so what is open counts as the request that it is.
async fn finish(connection: Connection, stands_until: Instant, inside: Inside, room: Room) -> Result<(), Error> {
    if !connection.is_terminated() {
        let _ = timeout_at(stands_until, connection).await;
    }
    drop((inside, room));
    Ok(())
}

/// Looks the name up in a task of its own, which keeps the room: the system's own look-up goes on where nobody waits for it any
/// more, and a tenant has only so many of them.
async fn look_up(outlet: &Outlet, target: &Origin, room: Room) -> Result<(Vec<SocketAddr>, Room), Error> {
    let (host, port) = (target.host().trim_matches(['[', ']']).to_owned(), target.port());
    // Each takes a thread for as long as a name server is silent.
    let turn = outlet.reach.connections.look_up(&outlet.reach.tenant).await;
    let looking = tokio::spawn(async move {
        let found = lookup_host((host, port)).await.map(Iterator::collect::<Vec<_>>);
        drop(turn);
        (found, room)
    });
    let (found, room) = looking.await.map_err(|_| Error::DestinationNotFound)?;
    Ok((found.map_err(|found| error::name(&found))?, room))
}

/// What the head of a request takes, about.
fn head_bytes(request: &Request<WasiBody>) -> usize {
    let headers = headers_bytes(request.headers());
    let uri = request.uri();
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    headers + path + uri.authority().map_or(0, |authority| authority.as_str().len()) + request.method().as_str().len()
}

async fn connect(outlet: &Outlet, target: &Origin, room: Room) -> Result<(Box<dyn Duplex>, Room), Error> {
    let host = target.host().trim_matches(['[', ']']);
    let (found, room) = look_up(outlet, target, room).await?;
    let addresses = outlet.reachable(target, found)?;
    let stream = TcpStream::connect(addresses.as_slice()).await.map_err(|found| error::connect(&found))?;
    // Small requests wait for no more bytes to come.
    let _ = stream.set_nodelay(true);
    match target.scheme() {
        Scheme::Http => Ok((Box::new(stream), room)),
        Scheme::Https => {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| Error::HttpRequestUriInvalid)?;
            let stream = TLS.connect(name, stream).await.map_err(|found| error::tls(&found))?;
            Ok((Box::new(stream), room))
        }
    }
}

/// Trusts whom the machine trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` say otherwise). Read once, with the first request
/// that needs it.
static TLS: LazyLock<TlsConnector> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        warn!(%error, "a certificate of this machine can't be read");
    }
    let mut roots = RootCertStore::empty();
    let (trusted, unusable) = roots.add_parsable_certificates(found.certs);
    if trusted == 0 {
        warn!(unusable, "this machine has no certificates to trust, so https fails for all guests");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
});

/// What the guest asks for, within what the host gives.
fn bounded(asked: Option<Duration>, limit: Duration) -> Duration {
    asked.map_or(limit, |asked| asked.min(limit))
}
