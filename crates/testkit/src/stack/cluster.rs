//! A RabbitMQ of three nodes, whose connections to each other and to their clients all lead through fault proxies.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hyper::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use super::broker::Broker;
use super::process;
use super::script;
use crate::http::HttpClient;
use crate::proxy::FaultProxy;

/// How many nodes there are.
pub const NODES: usize = 3;
/// How long a node may be silent until the others take it for gone, give or take a quarter. RabbitMQ's own is 60 s.
pub const TICK: Duration = Duration::from_secs(12);
/// How long a node may take to answer a question.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// Three nodes. Each queue has a leader on one of them and, where all is well, followers on the other two.
///
/// A node that is cut off from both others pauses itself (`pause_minority`), as it should in production.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Arc<Broker>>,
    names: Vec<String>,
    wires: Vec<Wire>,
    doors: Vec<FaultProxy>,
}

/// The way from one node to another: what the first dials is a proxy.
#[derive(Debug)]
struct Wire {
    between: [usize; 2],
    proxy: FaultProxy,
    /// It is valid for as long as this is open.
    _registration: TcpStream,
}

/// Where the copies of a queue are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copies {
    /// The queue's name.
    pub queue: String,
    /// The node of its leader; `None` when the cluster does not know one.
    pub leader: Option<usize>,
    /// How many copies there should be.
    pub members: usize,
    /// How many of them are running.
    pub online: usize,
}

impl Cluster {
    /// Start three nodes whose state is in directories that begin with `directory`.
    pub(super) async fn start(script: String, directory: &Path, http: HttpClient) -> Self {
        let mut nodes: Vec<Broker> = vec![];
        let mut identities = vec![];
        for index in 0..NODES {
            let mut place = directory.to_owned();
            place.as_mut_os_string().push(format!("-{index}"));
            let node = Broker::unstarted(script.clone(), &place, http.clone());
            node.prepare(nodes.first()).await;
            identities.push(Identity::read(&place));
            nodes.push(node);
        }
        let names: Vec<String> = identities.iter().map(|identity| identity.name.clone()).collect();
        let mut wires = vec![];
        for (from, own) in identities.iter().enumerate() {
            for (to, other) in identities.iter().enumerate().filter(|(to, _)| *to != from) {
                let proxy = FaultProxy::start(other.distribution);
                let registration = register(own.name_server, &other.name, proxy.addr().port()).await;
                wires.push(Wire {
                    between: [from, to],
                    proxy,
                    _registration: registration,
                });
            }
        }
        for (index, node) in nodes.iter().enumerate() {
            // The first begins alone, and the others find it: they become a cluster the first time that they start.
            let first = (index > 0).then_some(names[0].as_str());
            configure(node.directory(), first);
        }
        let (first, others) = nodes.split_first_mut().expect("there are three");
        first.start_at_last().await;
        join_all(others.iter_mut().map(Broker::start_at_last)).await;
        let doors = nodes
            .iter()
            .map(|node| FaultProxy::start(address(&node.amqp_url())))
            .collect();
        let cluster = Self {
            nodes: nodes.into_iter().map(Arc::new).collect(),
            names,
            wires,
            doors,
        };
        crate::eventually("three nodes to be a cluster", async || {
            (cluster.running().await == NODES).then_some(())
        })
        .await;
        cluster
    }

    /// What processes are told: all three addresses, each of them a proxy's.
    pub fn amqp_url(&self) -> String {
        let url = self.nodes[0].amqp_url();
        let own = address(&url).to_string();
        let doors: Vec<String> = self.doors.iter().map(|door| door.addr().to_string()).collect();
        url.as_str().replace(&own, &doors.join(","))
    }

    /// A node.
    pub fn node(&self, index: usize) -> &Broker {
        &self.nodes[index]
    }

    pub(super) fn first(&self) -> Arc<Broker> {
        self.nodes[0].clone()
    }

    /// The proxies between the nodes and their clients.
    pub fn doors(&self) -> &[FaultProxy] {
        &self.doors
    }

    /// Cut a node off from the other two, who notice at once. Clients still reach it.
    pub fn cut_off(&self, index: usize) {
        self.wires_of(index).for_each(FaultProxy::refuse);
    }

    /// Let nothing through between a node and the other two, who notice after about [`TICK`]. Clients still reach it.
    pub fn silence(&self, index: usize) {
        self.wires_of(index).for_each(FaultProxy::black_hole);
    }

    /// Undo [`cut_off`](Self::cut_off) and [`silence`](Self::silence).
    pub fn reconnect(&self, index: usize) {
        self.wires_of(index).for_each(FaultProxy::resume);
    }

    fn wires_of(&self, index: usize) -> impl Iterator<Item = &FaultProxy> {
        let touching = move |wire: &&Wire| wire.between.contains(&index);
        self.wires.iter().filter(touching).map(|wire| &wire.proxy)
    }

    /// Stop a node's whole virtual machine without ending it.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self, index: usize) {
        process::signal("STOP", self.nodes[index].pid());
    }

    /// Let a frozen node go on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self, index: usize) {
        process::signal("CONT", self.nodes[index].pid());
    }

    /// Where the copies of every queue are, by whichever node answers; `None` when none does.
    pub async fn copies(&self) -> Option<Vec<Copies>> {
        let queues = self
            .ask("/api/queues/%2f?columns=name,leader,members,online")
            .await?;
        let count = |queue: &Value, what: &str| queue[what].as_array().map_or(0, Vec::len);
        let copies = |queue: &Value| Copies {
            queue: queue["name"].as_str().unwrap_or_default().to_owned(),
            leader: queue["leader"]
                .as_str()
                .and_then(|leader| self.names.iter().position(|name| name == leader)),
            members: count(queue, "members"),
            online: count(queue, "online"),
        };
        Some(queues.as_array()?.iter().map(copies).collect())
    }

    /// How many nodes run, by what a node says that answers.
    pub async fn running(&self) -> usize {
        let nodes = self.ask("/api/nodes?columns=running").await;
        let is_well = |node: &&Value| node["running"] == true;
        let nodes = nodes.as_ref().and_then(Value::as_array);
        nodes.map_or(0, |nodes| nodes.iter().filter(is_well).count())
    }

    /// Whether a node believes that it was apart from another one and has not been reconciled since.
    pub async fn is_partitioned(&self) -> bool {
        let nodes = self.ask("/api/nodes?columns=partitions").await;
        let is_apart = |node: &Value| {
            node["partitions"]
                .as_array()
                .is_some_and(|others| !others.is_empty())
        };
        let nodes = nodes.as_ref().and_then(Value::as_array);
        nodes.is_some_and(|nodes| nodes.iter().any(is_apart))
    }

    async fn ask(&self, path: &str) -> Option<Value> {
        for node in &self.nodes {
            let asked = node.try_management(Method::GET, path, &Value::Null);
            if let Ok(Ok(answer)) = timeout(ANSWER_PATIENCE, asked).await
                && answer.status.is_success()
            {
                return Some(answer.json());
            }
        }
        None
    }

    pub(super) async fn remove(&self) {
        join_all(self.nodes.iter().map(|node| node.remove())).await;
    }
}

/// Who a node is, before it runs.
struct Identity {
    name: String,
    distribution: SocketAddr,
    name_server: SocketAddr,
}

impl Identity {
    fn read(directory: &Path) -> Self {
        let file = directory.join("identity.env");
        let local = |name: &str| {
            let port = script::value(&file, name).parse().expect("a port");
            SocketAddr::from((Ipv4Addr::LOCALHOST, port))
        };
        Self {
            name: script::value(&file, "node"),
            distribution: local("distribution_port"),
            name_server: local("epmd_port"),
        }
    }
}

fn configure(directory: &Path, first: Option<&str>) {
    let mut settings = "cluster_partition_handling = pause_minority\n".to_owned();
    if let Some(first) = first {
        settings.push_str(&format!(
            "cluster_formation.peer_discovery_backend = classic_config\ncluster_formation.classic_config.nodes.1 = {first}\n"
        ));
    }
    let write = |file: &str, text: &str| {
        let file = directory.join(file);
        fs::create_dir_all(file.parent().expect("it lies in a directory"))
            .and_then(|()| fs::write(&file, text))
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
    };
    write("conf.d/cluster.conf", &settings);
    write("erl.args", &format!("-kernel net_ticktime {}", TICK.as_secs()));
}

/// Have a node's own name server say that another node is at this port: the protocol of Erlang's `epmd`.
async fn register(name_server: SocketAddr, node: &str, port: u16) -> TcpStream {
    /// ALIVE2_REQ.
    const REQUEST: u8 = 120;
    /// An ordinary node, over TCP; the versions of the distribution protocol that it speaks.
    const KIND: [u8; 6] = [77, 0, 0, 6, 0, 5];
    let (name, _) = node.split_once('@').expect("a node's name has a host");
    let mut request = vec![REQUEST];
    request.extend(port.to_be_bytes());
    request.extend(KIND);
    for field in [name.as_bytes(), b""] {
        request.extend(u16::try_from(field.len()).expect("a short name").to_be_bytes());
        request.extend(field);
    }
    let length = u16::try_from(request.len()).expect("a short request");
    let registered = async {
        let mut stream = TcpStream::connect(name_server).await?;
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(&request).await?;
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok((stream, answer[1]))
    };
    match timeout(ANSWER_PATIENCE, registered).await {
        Ok(Ok((stream, 0))) => stream,
        other => panic!("epmd at {name_server} does not take {node}: {other:?}"),
    }
}

fn address(url: &Url) -> SocketAddr {
    let host = url.host_str().expect("a server's URL has a host");
    let port = url.port().expect("the test servers' URLs have ports");
    let address = format!("{host}:{port}").parse();
    address.expect("the test servers listen on an IP address")
}
