//! Names that stand for several addresses, for none, and resolvers that hang.

use std::future::pending;
use std::sync::Mutex;

use tokio::time::Instant;

use super::super::connect_string::ConnectString;
use super::*;

type Answers = Box<dyn FnMut(&str) -> Option<Vec<SocketAddr>> + Send>;

/// Answers what a function says: None for an answer that never comes.
pub(in super::super) struct FakeResolver(Mutex<Answers>);

impl FakeResolver {
    pub(in super::super) fn new(answers: impl FnMut(&str) -> Option<Vec<SocketAddr>> + Send + 'static) -> Self {
        FakeResolver(Mutex::new(Box::new(answers)))
    }
}

#[async_trait]
impl Resolver for FakeResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let answer = (self.0.lock().unwrap())(host);
        match answer {
            Some(addresses) => Ok(addresses),
            None => pending().await,
        }
    }
}

fn addresses(list: &[&str]) -> Vec<SocketAddr> {
    list.iter().map(|address| address.parse().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn w6_every_address_of_every_name_is_found_once() {
    let resolver = FakeResolver::new(|host| match host {
        "two" => Some(addresses(&["10.0.0.1:1", "[fd00::1]:1"])),
        "same" => Some(addresses(&["[fd00::1]:1", "10.0.0.3:1"])),
        "none" => Some(Vec::new()),
        _ => None,
    });
    let servers = ConnectString::parse("two:1,same:1,none:1,hangs:1,10.0.0.9:1").unwrap().servers;
    let began = Instant::now();
    let found = resolve_all(&resolver, &servers, Duration::from_secs(20)).await;
    let found: Vec<_> = found.into_iter().map(|found| found.addresses).collect();
    assert_eq!(
        found,
        [
            Ok(addresses(&["10.0.0.1:1", "[fd00::1]:1"])),
            Ok(addresses(&["10.0.0.3:1"])),
            Err("no address for that name".to_owned()),
            Err("no address for that name: the resolver does not answer".to_owned()),
            Ok(addresses(&["10.0.0.9:1"])),
        ]
    );
    assert_eq!(began.elapsed(), STRAGGLERS);
}

#[tokio::test(start_paused = true)]
async fn w6_a_resolver_that_hangs_has_all_the_patience() {
    let servers = ConnectString::parse("hangs:1").unwrap().servers;
    let began = Instant::now();
    let found = resolve_all(&FakeResolver::new(|_| None), &servers, Duration::from_secs(20)).await;
    assert!(found[0].addresses.is_err());
    assert_eq!(began.elapsed(), Duration::from_secs(20));
}
