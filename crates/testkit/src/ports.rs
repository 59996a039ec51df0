//! Free TCP ports that nobody's outgoing connection can take meanwhile.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Below the range that the kernel gives to outgoing connections, and below the one that the servers' scripts draw
/// from: a listener that is away for a moment finds its port again.
const LOW: u16 = 10_000;
const HIGH: u16 = 19_999;
const TRIES_MAX: u32 = 1_000;

/// A listener on a random port of 127.0.0.1 to which it can return.
pub(crate) fn listener() -> TcpListener {
    for _ in 0..TRIES_MAX {
        let port = rand::random_range(LOW..=HIGH);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return listener;
        }
    }
    panic!("no free port between {LOW} and {HIGH} in {TRIES_MAX} tries");
}

/// An address on 127.0.0.1 where nobody listens now.
///
/// # Panics
/// When every port that it tries is taken.
pub fn free() -> SocketAddr {
    listener().local_addr().expect("a bound listener has an address")
}
