//! A port of the host that leads into an environment, for a debugger.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::sandbox::Network;

/// How long a debugger may take, in the place of every limit of INIT and of
/// invocations: whoever steps through a handler goes for coffee, too.
pub(super) const LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a connection waits for the function to listen: runtimes take their time,
/// and few debuggers try twice.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it tries.
const INTERVAL: Duration = Duration::from_millis(50);

/// Listens on the host's loopback for connections to the same port of an environment's.
#[derive(Debug)]
pub(crate) struct DebugPort {
    listener: TcpListener,
    address: SocketAddr,
}

impl DebugPort {
    /// Listens on `port`.
    ///
    /// # Errors
    /// Those of binding it: it may be taken.
    pub(crate) async fn listen(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where a debugger connects to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads connections to the port inside of `network`, until it is aborted, which
    /// ends them.
    pub(super) async fn forward(self: Arc<Self>, network: Network) {
        let mut connections = JoinSet::new();
        loop {
            match self.listener.accept().await {
                Ok((debugger, _)) => {
                    let network = network.clone();
                    connections.spawn(lead(debugger, network, self.address.port()));
                }
                // Too many open files, for one: it may be better in a moment.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a debugger's connection");
                    sleep(INTERVAL).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    }
}

/// Copies both ways until both ends have been reached.
async fn lead(mut debugger: TcpStream, network: Network, port: u16) {
    let result = match connect(&network, port).await {
        Ok(mut function) => tokio::io::copy_bidirectional(&mut debugger, &mut function)
            .await
            .map(|_| ()),
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a debugger's connection ended");
    }
}

async fn connect(network: &Network, port: u16) -> io::Result<TcpStream> {
    let started = Instant::now();
    loop {
        match network.connect(port).await {
            Err(error)
                if error.kind() == io::ErrorKind::ConnectionRefused
                    && started.elapsed() < PATIENCE =>
            {
                sleep(INTERVAL).await;
            }
            other => return other,
        }
    }
}
