//! Clients that take their answers slowly, or never.
//!
//! Each holds one of a limited number of connections, and an answer in memory. What it
//! makes us wait for is counted; what its function makes it wait for is not.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// As long may a client not be ready for more of its answers. More than for the bodies
/// of requests: the kernel takes up to 64 KiB from a slow client's window at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// Each so many bytes that it takes give it back a second.
const BYTES_A_SECOND: u32 = 1_024;

/// A connection that breaks when its client does not take what is written.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    /// How long its client may still not be ready.
    left: Duration,
    /// Since when it is not, and when that is too long.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<S> Patient<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            left: PATIENCE,
            waiting: None,
        }
    }

    /// What becomes of a write that had this result.
    fn after(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(result) = result else {
            let (_, end) = self.waiting.get_or_insert_with(|| {
                let now = Instant::now();
                (now, Box::pin(tokio::time::sleep_until(now + self.left)))
            });
            ready!(end.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        };
        if let Some((since, _)) = self.waiting.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
        if let Ok(written) = result {
            let earned = u32::try_from(written).map_or(PATIENCE, |written| {
                Duration::from_secs(1) * written / BYTES_A_SECOND
            });
            self.left = self.left.saturating_add(earned).min(PATIENCE);
        }
        Poll::Ready(result)
    }
}

impl Patient<TcpStream> {
    /// A client's connection, as it was accepted.
    pub(super) fn accepted(stream: TcpStream) -> Self {
        // Small answers must not wait for the acknowledgement of others.
        let _ = stream.set_nodelay(true);
        // The kernel has some of the answer, and keeps it for as long when we have closed.
        let patience_ms = u32::try_from(PATIENCE.as_millis()).unwrap_or(u32::MAX);
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, patience_ms);
        Self::new(stream)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.after(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.after(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets have nothing to flush, and do not wait.
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::Response;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::server::connections::Connections;
    use crate::server::full;

    /// Bytes of the answer, and of it on its way.
    const LENGTH: usize = 1 << 20;
    const WINDOW: usize = 1 << 16;

    /// A client that has sent its request, and is the only one for which there is a place.
    async fn asked(connections: &Connections) -> DuplexStream {
        let (mut client, stream) = tokio::io::duplex(WINDOW);
        let permit = connections.permit().await.unwrap();
        connections.spawn(permit, Patient::new(stream), |_| async {
            Response::new(full(Bytes::from(vec![b'x'; LENGTH])))
        });
        let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        client.write_all(request).await.unwrap();
        client
    }

    /// Reads so many bytes each second. What it got in all, until there was no more.
    async fn read_slowly(client: &mut DuplexStream, bytes: usize) -> usize {
        let mut got = 0;
        let mut buffer = vec![0; bytes];
        while let Ok(length @ 1..) = client.read(&mut buffer).await {
            got += length;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        got
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_reads_loses_its_place() {
        let connections = Connections::new(1);
        let client = asked(&connections).await;
        let begun = Instant::now();
        drop(connections.permit().await.unwrap());
        assert!(begun.elapsed() < PATIENCE * 2, "{:?}", begun.elapsed());
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_a_byte_a_second_loses_its_place() {
        let connections = Connections::new(1);
        let mut client = asked(&connections).await;
        let begun = Instant::now();
        tokio::select! {
            permit = connections.permit() => drop(permit.unwrap()),
            got = read_slowly(&mut client, 1) => panic!("it got {got} bytes"),
        }
        assert!(begun.elapsed() < PATIENCE * 2, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_steadily_gets_all_however_long_that_takes() {
        let connections = Connections::new(1);
        let mut client = asked(&connections).await;
        let begun = Instant::now();
        assert!(read_slowly(&mut client, 2 << 10).await > LENGTH);
        assert!(begun.elapsed() > PATIENCE * 8, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_break_gets_all() {
        let connections = Connections::new(1);
        let mut client = asked(&connections).await;
        let mut got = 0;
        for _ in 0..10 {
            tokio::time::sleep(PATIENCE * 59 / 60).await;
            let mut buffer = vec![0; WINDOW];
            got += client.read_exact(&mut buffer).await.unwrap();
        }
        let mut rest = vec![];
        got += client.read_to_end(&mut rest).await.unwrap();
        assert!(got > LENGTH, "{got}");
    }
}
