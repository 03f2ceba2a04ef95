//! TCP with mutual TLS: certificates of an authority that all nodes of a network trust, and that name the
//! nodes.
//!
//! It proves who is at the other end before a byte of the protocol is read. What the names of nodes are good
//! for is up to the node.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier},
    version::TLS13,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::{Accepted, BoxFuture, Connection, Listener, Transport};

/// What both ends say that they speak, so that no other protocol can be mistaken for it.
const PROTOCOL: &[u8] = b"lanemesh/1";

/// TCP with TLS 1.3, in which both ends show a certificate. Usually for the scheme `tls`.
///
/// Each node has a certificate of an authority that all nodes trust. **The name of the node is a DNS name of
/// the certificate** (a subject alternative name; `*.example` covers a label): a node that announces another
/// name is refused, at both ends. The address that a node is reached at does not matter. Where certificates restrict
/// their use (extended key usage), it must include that of servers and that of clients. A secret
/// ([`NodeBuilder::secret`](crate::NodeBuilder::secret)) is not needed, and is proven too if there is one.
///
/// A certificate is checked when a connection is made, not while it lasts. Lists of revoked certificates are not
/// read.
///
/// A clone shares the certificates.
///
/// # Examples
///
/// ```no_run
/// use lanemesh_net::{Node, transport::Tls};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let read = |file| std::fs::read(file);
/// let tls = Tls::from_pem(&read("ca.pem")?, &read("gateway.pem")?, &read("gateway.key")?)?;
/// let node = Node::builder("gateway").transport("tls", tls.clone()).build();
/// node.bind("tls://0.0.0.0:7400").await?;
/// // Before the certificate expires:
/// tls.renew(&read("ca.pem")?, &read("gateway.pem")?, &read("gateway.key")?)?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Tls(Arc<Mutex<Credentials>>);

#[derive(Clone)]
struct Credentials {
    accepting: Arc<ServerConfig>,
    connecting: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts the certificates in `authorities`, and shows those in `chain` (the node's own first) with
    /// the private `key` of the first. All are PEM.
    ///
    /// # Errors
    ///
    /// If one of them cannot be read, is empty, or the key is not that of the certificate.
    pub fn from_pem(authorities: &[u8], chain: &[u8], key: &[u8]) -> io::Result<Self> {
        let credentials = Credentials::read(authorities, chain, key)?;
        Ok(Self(Arc::new(Mutex::new(credentials))))
    }

    /// Uses other certificates for the connections that are made from now on.
    ///
    /// # Errors
    ///
    /// As for [`from_pem`](Self::from_pem): nothing has changed then.
    pub fn renew(&self, authorities: &[u8], chain: &[u8], key: &[u8]) -> io::Result<()> {
        let credentials = Credentials::read(authorities, chain, key)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = credentials;
        Ok(())
    }

    fn credentials(&self) -> Credentials {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

pub(super) fn unusable(error: impl fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error.to_string())
}

/// The certificates in a PEM text: at least one.
pub(super) fn certificates(pem: &[u8], what: &str) -> io::Result<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|error| unusable(format!("{what}: {error}")))?;
    if read.is_empty() {
        return Err(unusable(format!("{what}: no certificate in it")));
    }
    Ok(read)
}

/// The certificates of authorities in a PEM text.
pub(super) fn roots(pem: &[u8]) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(pem, "authorities")? {
        roots.add(authority).map_err(unusable)?;
    }
    Ok(roots)
}

pub(super) fn private_key(pem: &[u8]) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| unusable(format!("private key: {error}")))
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl Credentials {
    fn read(authorities: &[u8], chain: &[u8], key: &[u8]) -> io::Result<Self> {
        let roots = Arc::new(roots(authorities)?);
        let chain = certificates(chain, "chain")?;
        let key = private_key(key)?;
        let provider = provider();

        let clients =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
        let mut accepting = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(clients.map_err(unusable)?)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(unusable)?;
        accepting.alpn_protocols = vec![PROTOCOL.to_vec()];
        // A session that is resumed is one whose certificate is not looked at again.
        accepting.send_tls13_tickets = 0;
        accepting.session_storage = Arc::new(NoServerSessionStorage {});

        let servers = Arc::new(AnyAddress {
            roots,
            provider: provider.clone(),
        });
        let mut connecting = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(servers)
            .with_client_auth_cert(chain, key)
            .map_err(unusable)?;
        connecting.alpn_protocols = vec![PROTOCOL.to_vec()];
        connecting.resumption = Resumption::disabled();
        Ok(Self {
            accepting: Arc::new(accepting),
            connecting: Arc::new(connecting),
        })
    }
}

/// Checks certificates of nodes that are connected to as usual, except that they do not have to name the
/// address: they name the node, which is checked when the node has said its name.
#[derive(Debug)]
struct AnyAddress {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyAddress {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Whether a certificate, which was checked, is one of the node of this name.
fn is_of(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let (Ok(certificate), Ok(name)) = (
        ParsedCertificate::try_from(certificate),
        ServerName::try_from(name),
    ) else {
        return false;
    };
    verify_server_name(&certificate, &name).is_ok()
}

fn connection(stream: TlsStream<TcpStream>) -> io::Result<Connection> {
    let (_, session) = stream.get_ref();
    let shown = session.peer_certificates().and_then(<[_]>::first);
    let certificate = shown.cloned().map(CertificateDer::into_owned);
    let certificate = certificate.ok_or_else(|| unusable("the peer has shown no certificate"))?;
    let (reader, writer) = tokio::io::split(stream);
    Ok(Connection::new(reader, writer).proven(move |name| is_of(&certificate, name)))
}

/// The name that a client says it looks for: the host of an address.
pub(super) fn server_name(address: &str) -> io::Result<ServerName<'static>> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|error| unusable(format!("{host}: {error}")))
}

impl Transport for Tls {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let name = server_name(address)?;
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let connector = TlsConnector::from(self.credentials().connecting);
            connection(connector.connect(name, stream).await?.into())
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            let tls = self.clone();
            let listener: Box<dyn Listener> = Box::new(Listening { tls, listener });
            Ok(listener)
        })
    }

    /// Whoever gets in has a certificate of the authority.
    fn is_private(&self) -> bool {
        true
    }
}

struct Listening {
    tls: Tls,
    listener: TcpListener,
}

impl Listener for Listening {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Accepted>> {
        Box::pin(async move {
            let (stream, _) = self.listener.accept().await?;
            let acceptor = TlsAcceptor::from(self.tls.credentials().accepting);
            let accepted: Accepted = Box::pin(async move {
                stream.set_nodelay(true)?;
                connection(acceptor.accept(stream).await?.into())
            });
            Ok(accepted)
        })
    }

    fn address(&self) -> String {
        self.listener.address()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
