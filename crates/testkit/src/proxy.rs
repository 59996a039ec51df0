//! A TCP proxy that breaks connections in the ways that networks do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::ports;

/// Bytes moved at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// What a reader has to read the half that it gets of something torn.
const READ_TIME: Duration = Duration::from_millis(10);

/// A proxy to one address, on a port of its own. Dropped, it is gone and its connections with it.
///
/// It has a thread of its own: what passes through must not wait for the test, which may be blocked.
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What happens to what passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Weather {
    mode: Mode,
    latency: Duration,
    /// A connection made in an earlier epoch is reset.
    epoch: u64,
    /// A connection made before this many tears is reset in the middle of what it carries next.
    tears: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Forward,
    BlackHole,
    Refuse,
}

impl FaultProxy {
    /// A proxy to this address that passes everything on.
    pub fn start(target: SocketAddr) -> Self {
        let listener = ports::listener();
        let addr = listener.local_addr().expect("a bound listener has an address");
        let weather = Arc::new(watch::Sender::new(Weather {
            mode: Mode::Forward,
            latency: Duration::ZERO,
            epoch: 0,
            tears: 0,
        }));
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn({
            let weather = weather.clone();
            move || {
                let runtime = Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime can be built");
                runtime.block_on(async {
                    tokio::select! {
                        () = serve(listener, addr, target, weather) => {}
                        _ = stopped => {}
                    }
                });
            }
        });
        Self {
            addr,
            weather,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Delay everything by this long, each way.
    pub fn latency(&self, latency: Duration) {
        self.weather.send_modify(|weather| weather.latency = latency);
    }

    /// Reset every connection now. New ones are served.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.epoch += 1);
    }

    /// Reset every connection of now in the middle of what it carries next: the receiver of that gets its first half.
    pub fn tear(&self) {
        self.weather.send_modify(|weather| weather.tears += 1);
    }

    /// Move no byte any more, and close nothing: what a dead network looks like.
    pub fn black_hole(&self) {
        self.weather.send_modify(|weather| weather.mode = Mode::BlackHole);
    }

    /// Reset every connection and listen no more: what a stopped server looks like.
    pub fn refuse(&self) {
        self.weather.send_modify(|weather| {
            weather.mode = Mode::Refuse;
            weather.epoch += 1;
        });
    }

    /// Pass everything on again. What a black hole held back is passed on late.
    pub fn resume(&self) {
        self.weather.send_modify(|weather| weather.mode = Mode::Forward);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the fault proxy panicked");
        }
    }
}

async fn serve(
    listener: std::net::TcpListener,
    addr: SocketAddr,
    target: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
) {
    let mut now = weather.subscribe();
    let mut connections = JoinSet::new();
    let mut open = Some(listen(listener));
    loop {
        let mode = now.borrow_and_update().mode;
        match (mode, open.is_some()) {
            (Mode::Refuse, true) => open = None,
            // The port is ours; should a connection in its last state still hold it, the next look comes soon.
            (Mode::Forward | Mode::BlackHole, false) => {
                open = std::net::TcpListener::bind(addr).ok().map(listen)
            }
            _ => {}
        }
        let accepted = async {
            match &open {
                Some(listener) => listener.accept().await.ok(),
                None if mode == Mode::Refuse => std::future::pending().await,
                None => {
                    sleep(crate::LOOK_EVERY).await;
                    None
                }
            }
        };
        tokio::select! {
            changed = now.changed() => if changed.is_err() { return },
            accepted = accepted => if let Some((stream, _)) = accepted {
                connections.spawn(carry(stream, target, weather.subscribe()));
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

fn listen(listener: std::net::TcpListener) -> TcpListener {
    listener
        .set_nonblocking(true)
        .expect("a socket can be made non-blocking");
    TcpListener::from_std(listener).expect("we are inside a runtime")
}

/// Carry one connection until it ends or is cut.
async fn carry(client: TcpStream, target: SocketAddr, weather: watch::Receiver<Weather>) {
    let Weather { epoch, tears, .. } = *weather.borrow();
    let _ = client.set_nodelay(true);
    // Whichever way it ends, a dropped connection is a reset one; an orderly end is sent by `shutdown`.
    let _ = client.set_zero_linger();
    let dialled = async {
        calm(&mut weather.clone()).await;
        TcpStream::connect(target).await
    };
    let mut cut = weather.clone();
    let is_cut = async move {
        // An error means that the proxy is gone: then everything ends anyway.
        let _ = cut.wait_for(|weather| weather.epoch != epoch).await;
    };
    tokio::pin!(is_cut);
    let server = tokio::select! {
        () = &mut is_cut => return,
        server = dialled => server,
    };
    let Ok(server) = server else { return };
    let _ = (server.set_nodelay(true), server.set_zero_linger());
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    tokio::select! {
        () = is_cut => {}
        // Each direction ends by itself, and a half-closed connection goes on; a torn one ends as a whole.
        _ = async { tokio::try_join!(
            copy(client_read, server_write, weather.clone(), tears),
            copy(server_read, client_write, weather.clone(), tears),
        ) } => {}
    }
}

/// The connection was torn.
struct Torn;

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    tears: u64,
) -> Result<(), Torn> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = match from.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        let latency = weather.borrow().latency;
        if !latency.is_zero() {
            sleep(latency).await;
        }
        calm(&mut weather).await;
        if weather.borrow().tears != tears {
            let _ = to.write_all(&chunk[..count / 2]).await;
            // The reset that follows overtakes what has not been read.
            sleep(READ_TIME).await;
            return Err(Torn);
        }
        if to.write_all(&chunk[..count]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
    Ok(())
}

/// Wait out a black hole.
async fn calm(weather: &mut watch::Receiver<Weather>) {
    let _ = weather.wait_for(|weather| weather.mode != Mode::BlackHole).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Receiver;
    use crate::http::HttpClient;
    use hyper::Method;
    use tokio::time::{Instant, timeout};

    async fn ask(proxy: &FaultProxy) -> Result<u16, String> {
        // A client of its own each time: none is to be served from a pool.
        let url = format!("http://{}/", proxy.addr());
        HttpClient::new()
            .send(Method::GET, &url, &[], "")
            .await
            .map(|answer| answer.status.as_u16())
    }

    #[tokio::test]
    async fn it_passes_on_delays_refuses_and_resumes() {
        let receiver = Receiver::start().await;
        let proxy = FaultProxy::start(receiver.addr());
        assert_eq!(ask(&proxy).await, Ok(200));

        proxy.latency(Duration::from_millis(50));
        let started = Instant::now();
        assert_eq!(ask(&proxy).await, Ok(200));
        assert!(started.elapsed() >= Duration::from_millis(100));

        proxy.refuse();
        crate::eventually("a refusal", async || ask(&proxy).await.err()).await;
        proxy.resume();
        crate::eventually("service", async || ask(&proxy).await.ok()).await;
    }

    #[tokio::test]
    async fn a_cut_resets_what_is_open_and_a_black_hole_moves_nothing() {
        let receiver = Receiver::answering(crate::Reply::Hang).await;
        let proxy = FaultProxy::start(receiver.addr());
        let url = format!("http://{}/", proxy.addr());
        let asking = tokio::spawn(async move { HttpClient::new().send(Method::GET, &url, &[], "").await });
        receiver.next().await;
        proxy.cut();
        asking.await.expect("it ends").expect_err("it was cut");

        receiver.always(crate::Reply::status(200));
        proxy.black_hole();
        assert!(timeout(Duration::from_millis(200), ask(&proxy)).await.is_err());
        proxy.resume();
        assert_eq!(ask(&proxy).await, Ok(200));
    }

    #[tokio::test]
    async fn a_torn_connection_ends_in_the_middle_of_what_it_carries() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let proxy = FaultProxy::start(listener.local_addr().expect("it is bound"));
        let mut client = TcpStream::connect(proxy.addr()).await.expect("the proxy listens");
        let (mut server, _) = listener.accept().await.expect("the proxy dials");
        let mut got = [0; 16];
        client.write_all(b"whole").await.expect("it is open");
        assert_eq!(server.read(&mut got).await.expect("it is open"), 5);

        proxy.tear();
        client.write_all(b"0123456789").await.expect("it is open");
        assert_eq!(server.read(&mut got).await.expect("the half that was sent"), 5);
        assert_eq!(&got[..5], b"01234");
        assert!(server.read(&mut got).await.map_or(true, |count| count == 0));
        assert!(client.read(&mut got).await.map_or(true, |count| count == 0));

        let mut next = TcpStream::connect(proxy.addr()).await.expect("the proxy listens");
        let (mut server, _) = listener.accept().await.expect("the proxy dials");
        next.write_all(b"0123456789").await.expect("it is open");
        assert_eq!(server.read(&mut got).await.expect("it is whole"), 10);
    }
}
