//! TLS as browsers speak it: whoever listens shows a certificate for its host.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustls::{ClientConfig, ServerConfig, version::TLS13};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

use super::tls::{certificates, private_key, provider, roots, server_name, unusable};

/// The certificates of a transport, shared by its clones.
#[derive(Clone, Default)]
pub(super) struct WebTls(Arc<Mutex<Configs>>);

#[derive(Default)]
struct Configs {
    accepting: Option<Arc<ServerConfig>>,
    connecting: Option<Arc<ClientConfig>>,
}

impl WebTls {
    fn configs(&self) -> MutexGuard<'_, Configs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_certificate(&self, chain: &[u8], key: &[u8]) -> io::Result<()> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(certificates(chain, "chain")?, private_key(key)?)
            .map_err(unusable)?;
        self.configs().accepting = Some(Arc::new(config));
        Ok(())
    }

    pub(super) fn set_authorities(&self, authorities: &[u8]) -> io::Result<()> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_root_certificates(roots(authorities)?)
            .with_no_client_auth();
        self.configs().connecting = Some(Arc::new(config));
        Ok(())
    }

    pub(super) fn accepting(&self) -> io::Result<TlsAcceptor> {
        let config = self.configs().accepting.clone();
        let config = config.ok_or_else(|| unusable("there is no certificate to show"))?;
        Ok(TlsAcceptor::from(config))
    }

    /// Speaks TLS on a connection to a host, with or without a port.
    pub(super) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let config = self.configs().connecting.clone();
        let config = config.ok_or_else(|| unusable("no authorities are trusted"))?;
        let name = server_name(host)?;
        TlsConnector::from(config).connect(name, stream).await
    }
}
