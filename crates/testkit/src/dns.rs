//! A DNS server that says what the test wants, and changes its mind when the test wants.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::PATIENCE;

const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const HEADER_BYTES: usize = 12;
const FLAGS_ANSWER: u16 = 0x8580; // An authoritative answer, recursion desired and available.
const CODE_NO_SUCH_NAME: u16 = 3;
const CODE_FAILURE: u16 = 2;
/// Aliases in one answer; a chain of more is a mistake of the test.
const ALIASES_MAX: usize = 8;
/// Nothing is to be remembered: the next question may get another answer.
const TTL: u32 = 0;

/// A UDP name server. It knows no name until told. Clones share one server; dropped, it is gone.
#[derive(Clone, Debug)]
pub struct FakeDns {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _serving: Arc<Serving>,
}

#[derive(Debug, Default)]
struct Shared {
    names: Mutex<HashMap<String, NameAnswer>>,
    questions: Mutex<Vec<Question>>,
    asked: watch::Sender<usize>,
}

#[derive(Debug)]
struct Serving(AbortHandle);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the server says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameAnswer {
    /// These addresses, each to the question for its family.
    Addresses(Vec<IpAddr>),
    /// Another name, and what the server says of that.
    Alias(String),
    /// There is no such name.
    NoSuchName,
    /// The server has a problem.
    Failure,
    /// Nothing: the question is lost.
    Silence,
}

/// A question that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name, in lower case, without the last dot.
    pub name: String,
    /// The record type: 1 for A, 28 for AAAA.
    pub record_type: u16,
}

impl FakeDns {
    /// A server on a port of its own.
    pub async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port is free");
        let addr = socket.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let serving = tokio::spawn(serve(socket, shared.clone())).abort_handle();
        Self {
            addr,
            shared,
            _serving: Arc::new(Serving(serving)),
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on, this is what it says of a name.
    pub fn set(&self, name: &str, answer: NameAnswer) {
        lock(&self.shared.names).insert(name.to_ascii_lowercase(), answer);
    }

    /// From now on, a name has these addresses.
    ///
    /// # Panics
    /// When one is not an address.
    pub fn resolve(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses
            .iter()
            .map(|text| text.parse().expect("an IP address"))
            .collect();
        self.set(name, NameAnswer::Addresses(addresses));
    }

    /// From now on, a name is an alias of another one.
    pub fn alias(&self, name: &str, target: &str) {
        self.set(name, NameAnswer::Alias(target.to_ascii_lowercase()));
    }

    /// Every question so far, in order.
    pub fn questions(&self) -> Vec<Question> {
        lock(&self.shared.questions).clone()
    }

    /// How often a name was asked for, in either family.
    pub fn questions_for(&self, name: &str) -> usize {
        lock(&self.shared.questions)
            .iter()
            .filter(|question| question.name == name)
            .count()
    }

    /// Wait until a name was asked for more than `seen` times.
    ///
    /// # Panics
    /// When nobody asks.
    pub async fn wait_for_question(&self, name: &str, seen: usize) {
        let mut asked = self.shared.asked.subscribe();
        let more = asked.wait_for(|_| self.questions_for(name) > seen);
        assert!(timeout(PATIENCE, more).await.is_ok(), "nobody asked for {name}");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(socket: UdpSocket, shared: Arc<Shared>) {
    let mut packet = [0; 1_500];
    loop {
        // An error here is the echo of an answer to somebody who has left.
        let Ok((length, asker)) = socket.recv_from(&mut packet).await else {
            continue;
        };
        let Some((question, end)) = read_question(&packet[..length]) else {
            continue;
        };
        let (aliases, known) = follow(&lock(&shared.names), &question.name);
        let reply = answer(&packet[..end], question.record_type, &aliases, known);
        lock(&shared.questions).push(question);
        shared.asked.send_modify(|count| *count += 1);
        if let Some(reply) = reply {
            let _ = socket.send_to(&reply, asker).await;
        }
    }
}

/// The question of a packet, and where it ends.
fn read_question(packet: &[u8]) -> Option<(Question, usize)> {
    let mut at = HEADER_BYTES;
    let mut labels = vec![];
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // A pointer has no place in the first name of a packet.
        let label = packet.get(at..at + length).filter(|_| length < 64)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
    let record_type = u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]);
    let question = Question {
        name: labels.join("."),
        record_type,
    };
    packet.get(at + 4 - 1)?;
    Some((question, at + 4))
}

/// The names that a name is an alias of, one after the other, and what is known of the last.
fn follow(names: &HashMap<String, NameAnswer>, name: &str) -> (Vec<String>, NameAnswer) {
    let (mut aliases, mut current) = (vec![], name);
    while let Some(NameAnswer::Alias(target)) = names.get(current) {
        assert!(aliases.len() < ALIASES_MAX, "{name} has too many aliases");
        aliases.push(target.clone());
        current = target;
    }
    let known = names.get(current).cloned();
    (aliases, known.unwrap_or(NameAnswer::NoSuchName))
}

/// The reply to a question: its own bytes, with other flags and the records behind it.
fn answer(question: &[u8], record_type: u16, aliases: &[String], known: NameAnswer) -> Option<Vec<u8>> {
    let (code, addresses) = match known {
        NameAnswer::Alias(_) => unreachable!("it was followed"),
        NameAnswer::Silence => return None,
        NameAnswer::NoSuchName => (CODE_NO_SUCH_NAME, vec![]),
        NameAnswer::Failure => (CODE_FAILURE, vec![]),
        NameAnswer::Addresses(addresses) => (0, addresses),
    };
    // Whose record it is: the question's name, or the alias before it.
    let mut owner = vec![0xc0, 12];
    let mut records = vec![];
    for alias in aliases {
        let target = written(alias);
        records.push(record(&owner, TYPE_CNAME, &target));
        owner = target;
    }
    let addresses: Vec<Vec<u8>> = addresses
        .into_iter()
        .filter_map(|address| match (record_type, address) {
            (TYPE_A, IpAddr::V4(address)) => Some(address.octets().to_vec()),
            (TYPE_AAAA, IpAddr::V6(address)) => Some(address.octets().to_vec()),
            _ => None,
        })
        .collect();
    records.extend(
        addresses
            .iter()
            .map(|address| record(&owner, record_type, address)),
    );
    let mut reply = question.to_vec();
    reply[2..4].copy_from_slice(&(FLAGS_ANSWER | code).to_be_bytes());
    let count = u16::try_from(records.len()).expect("a test gives few addresses");
    for (at, value) in [(4, 1), (6, count), (8, 0), (10, 0)] {
        reply[at..at + 2].copy_from_slice(&u16::to_be_bytes(value));
    }
    reply.extend(records.concat());
    Some(reply)
}

fn record(owner: &[u8], record_type: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a name or an address");
    [
        owner,
        &record_type.to_be_bytes(),
        &[0, 1],
        &TTL.to_be_bytes(),
        &length.to_be_bytes(),
        value,
    ]
    .concat()
}

/// A name as packets have it.
fn written(name: &str) -> Vec<u8> {
    let label = |label: &str| {
        let length = u8::try_from(label.len()).expect("a short label");
        [&[length], label.as_bytes()].concat()
    };
    let mut written: Vec<u8> = name.split('.').flat_map(label).collect();
    written.push(0);
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question for the A records of `a.test`, as `dig` writes it.
    const QUESTION: &[u8] =
        b"\x12\x34\x01\x20\0\x01\0\0\0\0\0\x01\x01A\x04test\0\0\x01\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0";

    async fn ask(dns: &FakeDns) -> Vec<u8> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port is free");
        socket.send_to(QUESTION, dns.addr()).await.expect("it is sent");
        let mut reply = [0; 512];
        let length = timeout(PATIENCE, socket.recv(&mut reply))
            .await
            .expect("in time")
            .expect("a reply");
        reply[..length].to_vec()
    }

    #[tokio::test]
    async fn it_answers_what_it_was_told_and_remembers_who_was_asked_for() {
        let dns = FakeDns::start().await;
        assert_eq!(ask(&dns).await[..4], *b"\x12\x34\x85\x83", "no such name");

        dns.resolve("A.test", &["10.0.0.1", "::1"]);
        let reply = ask(&dns).await;
        assert_eq!(
            reply[..8],
            *b"\x12\x34\x85\x80\0\x01\0\x01",
            "one address of this family"
        );
        assert_eq!(reply[reply.len() - 4..], [10, 0, 0, 1]);

        dns.resolve("b.test", &["10.0.0.2"]);
        dns.alias("a.test", "b.test");
        let reply = ask(&dns).await;
        assert_eq!(
            reply[..8],
            *b"\x12\x34\x85\x80\0\x01\0\x02",
            "an alias and an address"
        );
        let expected = b"\xc0\x0c\0\x05\0\x01\0\0\0\0\0\x08\x01b\x04test\0\x01b\x04test\0\0\x01\0\x01\0\0\0\0\0\x04\x0a\0\0\x02";
        assert!(reply.ends_with(expected), "{reply:?}");

        assert_eq!(dns.questions_for("a.test"), 3);
        dns.wait_for_question("a.test", 1).await;
    }
}
