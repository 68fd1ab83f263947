//! Free ports on the loopback interface.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what Linux hands out by itself (32768 and up), so that no outgoing connection takes one between our look and
/// the server's bind, or while a server is down to be started again.
const FIRST: u16 = 18_000;
const COUNT: u16 = 14_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port on 127.0.0.1 that nobody listens on. Never the same twice in one process; processes start at different places.
///
/// # Panics
/// Where none is free.
pub fn free_port() -> u16 {
    let start = (std::process::id().wrapping_mul(2_654_435_761) % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let offset = (u32::from(start) + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % u32::from(COUNT);
        let port = FIRST + offset as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port of {FIRST} to {} is free on 127.0.0.1", FIRST + COUNT - 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_differ() {
        let (a, b) = (free_port(), free_port());
        assert_ne!(a, b);
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, a)).is_ok());
    }

    #[test]
    fn a_taken_port_is_passed_over() {
        let first = free_port();
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first + 1));
        assert_ne!(free_port(), first + 1);
    }
}
