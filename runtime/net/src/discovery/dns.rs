//! Addresses from the domain name system.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use super::Discovery;
use crate::{error::ConnectError, transport::BoxFuture};

type Resolver =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// All addresses that a name has, asked for again and again.
///
/// It asks as other programs of the system do, from a thread of tokio's pool for blocking work. There
/// are no service records: the port is part of the address.
#[derive(Clone)]
pub struct Dns {
    /// With what stands between it and the name.
    scheme: String,
    /// With the port.
    host: String,
    refresh: Duration,
    resolver: Resolver,
}

impl Dns {
    /// The addresses of the host in `address`, such as `tcp://seeds.example.org:7000`, asked for every
    /// 30 s.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Address`] if there is no scheme, host or port.
    pub fn new(address: &str) -> Result<Self, ConnectError> {
        let wrong = || ConnectError::Address(address.to_owned());
        let (scheme, rest) = address.split_once(':').ok_or_else(wrong)?;
        let host = rest.strip_prefix("//").unwrap_or(rest);
        let (name, port) = host.rsplit_once(':').ok_or_else(wrong)?;
        if scheme.is_empty() || name.is_empty() || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        let resolver = |host: String| -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            Box::pin(async move { Ok(tokio::net::lookup_host(host).await?.collect()) })
        };
        Ok(Self {
            scheme: address[..address.len() - host.len()].to_owned(),
            host: host.to_owned(),
            refresh: Duration::from_secs(30),
            resolver: Arc::new(resolver),
        })
    }

    /// How often it asks: after this time, half of which is random.
    pub fn with_refresh(mut self, time: Duration) -> Self {
        self.refresh = time;
        self
    }

    /// Asks `resolver`, which is given host and port, and not the system.
    pub fn with_resolver<F>(
        mut self,
        resolver: impl Fn(String) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        self.resolver = Arc::new(move |host| Box::pin(resolver(host)));
        self
    }
}

impl Discovery for Dns {
    fn name(&self) -> Arc<str> {
        self.host.as_str().into()
    }

    fn addresses(&mut self) -> BoxFuture<'_, io::Result<Vec<String>>> {
        Box::pin(async {
            let found = (self.resolver)(self.host.clone()).await?;
            let address = |socket: &SocketAddr| format!("{}{socket}", self.scheme);
            Ok(found.iter().map(address).collect())
        })
    }

    fn refresh(&self) -> Option<Duration> {
        Some(self.refresh)
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns")
            .field("host", &self.host)
            .field("refresh", &self.refresh)
            .finish_non_exhaustive()
    }
}
