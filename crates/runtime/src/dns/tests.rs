//! A resolver against a DNS server on a real socket, whose answers change.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME};
use hickory_resolver::proto::rr::{RData, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::{JoinHandle, JoinSet};

use super::*;

/// What the server does with a question.
#[derive(Clone)]
enum Reply {
    Records { ttl: u32, data: Vec<RData> },
    Code(ResponseCode),
    Silence,
}

type Answers = dyn Fn(&str, RecordType) -> Reply + Send;

struct Server {
    addr: SocketAddr,
    answers: Arc<Mutex<Box<Answers>>>,
    asked: Arc<AtomicUsize>,
    names: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(answers: impl Fn(&str, RecordType) -> Reply + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port is free");
        let addr = socket.local_addr().expect("it is bound");
        let answers: Arc<Mutex<Box<Answers>>> = Arc::new(Mutex::new(Box::new(answers)));
        let asked = Arc::new(AtomicUsize::new(0));
        let names = Arc::new(Mutex::new(Vec::new()));
        let serving = tokio::spawn({
            let (answers, asked, names) = (answers.clone(), asked.clone(), names.clone());
            async move {
                let mut packet = [0; 4096];
                loop {
                    let (length, client) = socket.recv_from(&mut packet).await.expect("it is bound");
                    let question = Message::from_vec(&packet[..length]).expect("the resolver writes DNS");
                    let query = question.queries[0].clone();
                    let name = query.name().to_string();
                    asked.fetch_add(1, Ordering::SeqCst);
                    names.lock().expect("no test panics here").push(name.clone());
                    let reply = (answers.lock().expect("no test panics here"))(&name, query.query_type());
                    if let Some(response) = written(&question, reply) {
                        socket
                            .send_to(&response, client)
                            .await
                            .expect("the resolver listens");
                    }
                }
            }
        });
        Self {
            addr,
            answers,
            asked,
            names,
            serving,
        }
    }

    fn change(&self, answers: impl Fn(&str, RecordType) -> Reply + Send + 'static) {
        *self.answers.lock().expect("no test panics here") = Box::new(answers);
    }

    fn resolver(&self) -> Resolver {
        Resolver::from_setting(&[self.addr]).expect("the server's address will do")
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn written(question: &Message, reply: Reply) -> Option<Vec<u8>> {
    let query = question.queries[0].clone();
    let mut response = Message::response(question.metadata.id, question.metadata.op_code);
    response.add_query(query.clone());
    match reply {
        Reply::Silence => return None,
        Reply::Code(code) => response.metadata.response_code = code,
        Reply::Records { ttl, data } => {
            response.add_answers(
                data.into_iter()
                    .map(|data| Record::from_rdata(query.name().clone(), ttl, data)),
            );
        }
    }
    Some(response.to_vec().expect("the response is small"))
}

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn v6(last: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into()
}

/// `ips` of the family asked for, or none.
fn records(family: RecordType, ttl: u32, ips: &[IpAddr]) -> Reply {
    let data = ips.iter().filter_map(|ip| match (family, ip) {
        (RecordType::A, IpAddr::V4(ip)) => Some(RData::A(A(*ip))),
        (RecordType::AAAA, IpAddr::V6(ip)) => Some(RData::AAAA(AAAA(*ip))),
        _ => None,
    });
    Reply::Records {
        ttl,
        data: data.collect(),
    }
}

#[tokio::test]
async fn both_families_are_found_ipv4_first() {
    let server = Server::start(|_, family| records(family, 60, &[v6(1), v4(1), v4(2), v4(1)])).await;
    assert_eq!(
        server.resolver().lookup("hooks.example.com").await,
        Ok(vec![v4(1), v4(2), v6(1)])
    );
}

#[tokio::test]
async fn one_family_is_enough() {
    for only in [v4(1), v6(1)] {
        let server = Server::start(move |_, family| records(family, 60, &[only])).await;
        assert_eq!(
            server.resolver().lookup("hooks.example.com").await,
            Ok(vec![only])
        );
    }
}

#[tokio::test]
async fn a_family_that_is_never_answered_for_costs_little() {
    let server = Server::start(|_, family| match family {
        RecordType::AAAA => Reply::Silence,
        _ => records(family, 60, &[v4(1)]),
    })
    .await;
    let started = Instant::now();
    assert_eq!(
        server.resolver().lookup("hooks.example.com").await,
        Ok(vec![v4(1)])
    );
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_name_that_does_not_exist_or_has_no_address_is_not_found() {
    for reply in [
        Reply::Code(ResponseCode::NXDomain),
        Reply::Records {
            ttl: 60,
            data: Vec::new(),
        },
    ] {
        let server = Server::start(move |_, _| reply.clone()).await;
        assert_eq!(
            server.resolver().lookup("hooks.example.com").await,
            Err(LookupError::NotFound)
        );
    }
}

#[tokio::test]
async fn a_server_that_fails_is_not_a_name_that_does_not_exist() {
    let server = Server::start(|_, _| Reply::Code(ResponseCode::ServFail)).await;
    let failed = server.resolver().lookup("hooks.example.com").await;
    assert!(
        matches!(&failed, Err(LookupError::Failed(why)) if why.contains("Server Failure")),
        "{failed:?}"
    );

    // One family said no and the other could not say: nobody may claim that the name is gone.
    for failing in [RecordType::A, RecordType::AAAA] {
        let server = Server::start(move |_, family| {
            Reply::Code(if family == failing {
                ResponseCode::ServFail
            } else {
                ResponseCode::NXDomain
            })
        })
        .await;
        let failed = server.resolver().lookup("hooks.example.com").await;
        assert!(
            matches!(failed, Err(LookupError::Failed(_))),
            "{failing}: {failed:?}"
        );
    }
}

#[tokio::test]
async fn a_silent_server_times_out_in_time() {
    let server = Server::start(|_, _| Reply::Silence).await;
    let started = Instant::now();
    assert_eq!(
        server.resolver().lookup("hooks.example.com").await,
        Err(LookupError::TimedOut)
    );
    assert!(
        started.elapsed() < LOOKUP_TIMEOUT + Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn no_server_at_the_address_is_a_failure() {
    let server = Server::start(|_, _| Reply::Silence).await;
    let resolver = server.resolver();
    server.serving.abort();
    let error = resolver
        .lookup("hooks.example.com")
        .await
        .expect_err("nobody answers");
    assert_ne!(error, LookupError::NotFound);
}

#[tokio::test]
async fn an_answer_is_remembered_and_shared_by_clones() {
    let server = Server::start(|_, family| records(family, 3600, &[v4(1), v6(1)])).await;
    let resolver = server.resolver();
    let first = resolver.lookup("hooks.example.com").await;
    let asked = server.asked();
    server.change(|_, family| records(family, 3600, &[v4(9)]));
    assert_eq!(resolver.clone().lookup("HOOKS.example.com.").await, first);
    assert_eq!(server.asked(), asked);
}

#[tokio::test]
async fn an_answer_is_never_remembered_for_longer_than_30_seconds() {
    let server = Server::start(|_, family| records(family, 86_400, &[v4(1)])).await;
    let name = qualified("hooks.example.com").expect("it is a name");
    let answer = server
        .resolver()
        .dns
        .lookup(name, RecordType::A)
        .await
        .expect("the server answers");
    let remembered = answer
        .valid_until()
        .saturating_duration_since(std::time::Instant::now());
    assert!(remembered <= FOUND_TTL_MAX, "{remembered:?}");
}

#[tokio::test]
async fn an_answer_with_no_ttl_is_asked_for_again() {
    let server = Server::start(|_, family| records(family, 0, &[v4(1)])).await;
    let resolver = server.resolver();
    assert_eq!(resolver.lookup("hooks.example.com").await, Ok(vec![v4(1)]));
    server.change(|_, family| records(family, 0, &[v4(2)]));
    // The IPv6 half of the first answer was a "no", remembered for a second.
    assert_eq!(resolver.lookup("hooks.example.com").await, Ok(vec![v4(2)]));
}

#[tokio::test]
async fn a_repaired_name_is_found_within_seconds() {
    let server = Server::start(|_, _| Reply::Code(ResponseCode::NXDomain)).await;
    let resolver = server.resolver();
    assert_eq!(
        resolver.lookup("hooks.example.com").await,
        Err(LookupError::NotFound)
    );
    server.change(|_, family| records(family, 60, &[v4(1)]));

    let started = Instant::now();
    let mut every = tokio::time::interval(Duration::from_millis(100));
    while resolver.lookup("hooks.example.com").await.is_err() {
        assert!(started.elapsed() < NOT_FOUND_TTL * 3, "it is still not found");
        every.tick().await;
    }
}

#[tokio::test]
async fn an_alias_is_followed() {
    let server = Server::start(|name, family| match name {
        "hooks.example.com." => {
            let target = Name::from_ascii("real.example.net.").expect("it is a name");
            Reply::Records {
                ttl: 60,
                data: vec![RData::CNAME(CNAME(target))],
            }
        }
        _ => records(family, 60, &[v4(7), v6(7)]),
    })
    .await;
    assert_eq!(
        server.resolver().lookup("hooks.example.com").await,
        Ok(vec![v4(7), v6(7)])
    );
}

#[tokio::test]
async fn an_alias_of_itself_ends() {
    let server = Server::start(|name, _| {
        let target = Name::from_ascii(name).expect("it is a name");
        Reply::Records {
            ttl: 0,
            data: vec![RData::CNAME(CNAME(target))],
        }
    })
    .await;
    assert!(server.resolver().lookup("hooks.example.com").await.is_err());
}

#[tokio::test]
async fn no_search_domain_is_tried() {
    let server = Server::start(|_, _| Reply::Code(ResponseCode::NXDomain)).await;
    assert_eq!(
        server.resolver().lookup("intranet").await,
        Err(LookupError::NotFound)
    );
    let names = server.names.lock().expect("no test panics here").clone();
    assert!(
        !names.is_empty() && names.iter().all(|name| name == "intranet."),
        "{names:?}"
    );
}

#[tokio::test]
async fn a_flood_of_addresses_is_cut() {
    let server = Server::start(|_, family| records(family, 60, &(0..60).map(v4).collect::<Vec<_>>())).await;
    let found = server
        .resolver()
        .lookup("hooks.example.com")
        .await
        .expect("the server answers");
    assert_eq!(found.len(), ADDRESSES_MAX);
}

/// A port that is free for UDP is often in use for TCP, on a machine where other tests connect.
async fn same_port_for_both() -> (UdpSocket, TcpListener, SocketAddr) {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let addr = tcp.local_addr().expect("it is bound");
        if let Ok(udp) = UdpSocket::bind(addr).await {
            return (udp, tcp, addr);
        }
    }
    panic!("none of 100 ports was free for both");
}

#[tokio::test]
async fn an_answer_too_long_for_udp_is_fetched_over_tcp() {
    let (udp, tcp, addr) = same_port_for_both().await;
    let over_udp = tokio::spawn(async move {
        let mut packet = [0; 4096];
        loop {
            let (length, client) = udp.recv_from(&mut packet).await.expect("it is bound");
            let question = Message::from_vec(&packet[..length]).expect("the resolver writes DNS");
            let mut response = Message::response(question.metadata.id, question.metadata.op_code);
            response.add_query(question.queries[0].clone());
            response.metadata.truncation = true;
            let response = response.to_vec().expect("the response is small");
            udp.send_to(&response, client)
                .await
                .expect("the resolver listens");
        }
    });
    let over_tcp = tokio::spawn(async move {
        let mut clients = JoinSet::new();
        loop {
            let (mut client, _) = tcp.accept().await.expect("it listens");
            clients.spawn(async move {
                // Each message is preceded by its length; the resolver may ask several things.
                while let Ok(length) = client.read_u16().await {
                    let mut packet = vec![0; usize::from(length)];
                    client
                        .read_exact(&mut packet)
                        .await
                        .expect("the resolver writes whole messages");
                    let question = Message::from_vec(&packet).expect("the resolver writes DNS");
                    let family = question.queries[0].query_type();
                    let response = written(&question, records(family, 60, &[v4(1), v6(1)])).expect("a reply");
                    let length = u16::try_from(response.len()).expect("the response is small");
                    client.write_u16(length).await.expect("the resolver reads");
                    client.write_all(&response).await.expect("the resolver reads");
                }
            });
        }
    });
    let resolver = Resolver::with_servers(&[addr]).expect("the server's address will do");
    assert_eq!(resolver.lookup("hooks.example.com").await, Ok(vec![v4(1), v6(1)]));
    over_udp.abort();
    over_tcp.abort();
}

#[tokio::test]
async fn an_address_is_its_own_answer_and_nonsense_is_not_asked_for() {
    let server = Server::start(|_, family| records(family, 60, &[v4(1)])).await;
    let resolver = server.resolver();
    assert_eq!(resolver.lookup("192.0.2.9").await, Ok(vec![v4(9)]));
    assert_eq!(resolver.lookup("2001:db8::9").await, Ok(vec![v6(9)]));
    assert_eq!(resolver.lookup("[2001:db8::9]").await, Ok(vec![v6(9)]));
    let long = format!("{}.example.com", "a".repeat(64));
    for nonsense in ["", ".", "a..b", "[192.0.2.9]", &long] {
        assert_eq!(
            resolver.lookup(nonsense).await,
            Err(LookupError::NotFound),
            "{nonsense:?}"
        );
    }
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn the_hosts_file_answers_before_dns_and_alone() {
    let server = Server::start(|_, family| records(family, 60, &[v4(1), v6(1)])).await;
    let mut hosts = Hosts::default();
    hosts
        .read_hosts_conf(&b"192.0.2.50 receiver.test # ours\n"[..])
        .expect("it is a hosts file");
    let resolver = Resolver::build(vec![super::server(server.addr)], hosts).expect("it can be built");
    assert_eq!(resolver.lookup("Receiver.Test").await, Ok(vec![v4(50)]));
    assert_eq!(server.asked(), 0);
    assert_eq!(resolver.lookup("other.test").await, Ok(vec![v4(1), v6(1)]));
}

#[tokio::test]
async fn without_servers_only_local_names_are_found() {
    let resolver = Resolver::build(Vec::new(), Hosts::default()).expect("it can be built");
    assert!(matches!(
        resolver.lookup("hooks.example.com").await,
        Err(LookupError::Failed(_))
    ));
    let local = resolver
        .lookup("localhost")
        .await
        .expect("localhost is always here");
    assert!(local.contains(&Ipv4Addr::LOCALHOST.into()), "{local:?}");
}

#[tokio::test]
async fn the_system_resolver_knows_localhost() {
    let resolver = Resolver::from_setting(&[]).expect("it starts even without resolv.conf");
    let local = resolver
        .lookup("localhost")
        .await
        .expect("localhost is always here");
    assert!(local.iter().all(IpAddr::is_loopback), "{local:?}");
}
