//! A TCP connection that can tell whether anything was sent on it, and whether it is still there, and that reads no more
//! than it was allowed to.

use std::io::{self, IoSlice, Read as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// The most bytes read when asking the kernel whether a connection is still there.
const PROBE_BYTES_MAX: usize = 1_024;
/// What a receiver may send for each request, in bytes: a head and a body as large as we read, as much again that was on
/// its way when we stopped, and what wraps it all. Only a flood is larger: of interim answers, of frames without content.
pub(super) const READ_BYTES_PER_REQUEST: u64 = 256 * 1024;

/// Counts the sockets that are open.
#[derive(Clone, Default)]
pub(super) struct Gauge(Arc<AtomicUsize>);

impl Gauge {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is known of a socket from outside of the layers that own it.
pub(super) struct Wire {
    written: AtomicU64,
    /// Bytes that may still be read.
    readable: AtomicU64,
    doubted: AtomicBool,
    gauge: Gauge,
}

impl Wire {
    /// Bytes that the kernel took so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// One request more is about to be sent: let its answer be read. What earlier ones left is kept, up to what
    /// `requests` at once may need.
    pub(super) fn allow_answer(&self, requests: u64) {
        let max = READ_BYTES_PER_REQUEST * requests;
        let topped_up = |left: u64| Some((left + READ_BYTES_PER_REQUEST).min(max));
        let _ = self
            .readable
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, topped_up);
    }

    fn received(&self, bytes: usize) -> io::Result<()> {
        let less = |left: u64| (left > 0 || bytes == 0).then(|| left.saturating_sub(bytes as u64));
        match self
            .readable
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
        {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other(Flood)),
        }
    }

    /// Ask the kernel at the next read: tokio learns of a close only once its driver has run, and by then a request
    /// may have been written into a connection whose other end had gone.
    pub(super) fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }
}

/// The receiver sent more than any answer has.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the receiver sent more than {} KiB for a request", READ_BYTES_PER_REQUEST / 1024)]
pub(super) struct Flood;

impl Drop for Wire {
    fn drop(&mut self) {
        self.gauge.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) struct Socket {
    tcp: TcpStream,
    wire: Arc<Wire>,
}

impl Socket {
    pub(super) async fn connect(address: SocketAddr, gauge: &Gauge) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        gauge.0.fetch_add(1, Ordering::Relaxed);
        let wire = Wire {
            written: AtomicU64::new(0),
            // For the handshake.
            readable: AtomicU64::new(READ_BYTES_PER_REQUEST),
            doubted: AtomicBool::new(false),
            gauge: gauge.clone(),
        };
        Ok(Self {
            tcp,
            wire: Arc::new(wire),
        })
    }

    pub(super) fn wire(&self) -> Arc<Wire> {
        self.wire.clone()
    }

    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.wire.written.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.wire.doubted.load(Ordering::Relaxed) {
            this.wire.doubted.store(false, Ordering::Relaxed);
            let room = buf.remaining().min(PROBE_BYTES_MAX);
            match (&*SockRef::from(&this.tcp)).read(buf.initialize_unfilled_to(room)) {
                Ok(bytes) => {
                    buf.advance(bytes);
                    return Poll::Ready(this.wire.received(bytes));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.tcp).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => Poll::Ready(this.wire.received(buf.filled().len() - before)),
            other => other,
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.tcp).poll_write(cx, bytes);
        this.count(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.tcp).poll_write_vectored(cx, slices);
        this.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}

/// A socket, encrypted or not.
pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
