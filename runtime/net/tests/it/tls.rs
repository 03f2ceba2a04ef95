//! Nodes with certificates: who is let in, who is not, and what both ends say about it.

use lanemesh_net::{ConnectError, Node, Refusals, transport::Tls};
use lanemesh_runtime::spawn;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    authority::{Authority, Signed},
    common::{Recorder, SECOND, log, patient},
    transports::tell_and_ask,
};

fn tls(authority: &Authority, own: &Signed) -> Tls {
    let authority = authority.pem();
    Tls::from_pem(
        authority.as_bytes(),
        own.chain.as_bytes(),
        own.key.as_bytes(),
    )
    .unwrap()
}

fn node(name: &str, tls: &Tls) -> Node {
    let node = Node::builder(name).config(patient());
    node.transport("tls", tls.clone()).build()
}

/// A node that listens, and its address.
async fn home(authority: &Authority) -> (Node, String) {
    let home = node("home", &tls(authority, &authority.sign(&["home"])));
    let address = home.bind("tls://127.0.0.1:0").await.unwrap();
    (home, address)
}

/// Waits until `home` has counted a refusal.
async fn refused(home: &Node) -> Refusals {
    while home.refusals() == Refusals::default() {
        tokio::time::sleep(SECOND / 100).await;
    }
    assert!(home.links().is_empty());
    home.refusals()
}

fn certificate(error: &ConnectError, text: &str) {
    assert!(
        matches!(error, ConnectError::Certificate(why) if why.contains(text)),
        "{error:?}"
    );
}

#[tokio::test]
async fn nodes_with_certificates_of_one_authority_are_linked() {
    let authority = Authority::new("ours");
    let node = |name: &str| {
        let own = authority.sign(&["another", name]);
        Node::builder(name).transport("tls", tls(&authority, &own))
    };
    tell_and_ask(node, "tls://127.0.0.1:0").await;
    // The secret is proven too, if there is one.
    tell_and_ask(|name| node(name).secret(*b"a secret"), "tls://localhost:0").await;
    let home = node("home").secret(*b"a secret").config(patient()).build();
    let address = home.bind("tls://127.0.0.1:0").await.unwrap();
    let away = node("away").config(patient()).build();
    let error = away.connect(&address).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unauthenticated), "{error:?}");
}

#[tokio::test]
async fn certificate_of_another_authority_is_refused_by_either_end() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let (home, address) = home(&ours).await;
    // It does not accept ours.
    let away = node("away", &tls(&theirs, &ours.sign(&["away"])));
    certificate(&away.connect(&address).await.unwrap_err(), "UnknownIssuer");
    assert_eq!(refused(&home).await.unauthenticated, 1);
    // We do not accept its.
    let away = node("away", &tls(&ours, &theirs.sign(&["away"])));
    certificate(&away.connect(&address).await.unwrap_err(), "UnknownCA");
    assert_eq!(home.refusals().unauthenticated, 2);
    assert!(home.links().is_empty());
}

#[tokio::test]
async fn expired_certificate_is_refused_by_either_end_until_it_is_renewed() {
    let authority = Authority::new("ours");
    let (home, address) = home(&authority).await;
    let own = tls(&authority, &authority.sign_until(&["away"], 2020));
    let away = node("away", &own);
    let error = away.connect(&address).await.unwrap_err();
    certificate(&error, "CertificateExpired");
    assert_eq!(refused(&home).await.unauthenticated, 1);
    // The other way round.
    let here = away.bind("tls://127.0.0.1:0").await.unwrap();
    certificate(&home.connect(&here).await.unwrap_err(), "expired");

    let new = authority.sign(&["away"]);
    let roots = authority.pem();
    let renewed = own.renew(roots.as_bytes(), new.chain.as_bytes(), new.key.as_bytes());
    renewed.unwrap();
    away.connect(&address).await.unwrap();
    home.connect(&here).await.unwrap();
}

#[tokio::test]
async fn node_that_announces_a_name_which_its_certificate_does_not_carry_is_refused() {
    let authority = Authority::new("ours");
    let (home, address) = home(&authority).await;
    let (actor, _child) = spawn(Recorder::new());
    home.export("recorder", &actor).unwrap();
    let away = node(
        "away",
        &tls(&authority, &authority.sign(&["a-way", "other"])),
    );
    let error = away.connect(&address).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Refused(why) if why.contains("certificate")),
        "{error:?}"
    );
    assert_eq!(refused(&home).await.unwelcome, 1);
    // Neither is the name of the other end taken from anywhere else.
    let here = away.bind("tls://127.0.0.1:0").await.unwrap();
    let error = home.connect(&here).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::WrongName(name) if **name == *"away"),
        "{error:?}"
    );
    // A name that no certificate can carry.
    let odd = node("no name", &tls(&authority, &authority.sign(&["odd"])));
    assert!(odd.connect(&address).await.is_err());
    // A certificate for all nodes of a kind.
    let third = node(
        "third.nodes.example",
        &tls(&authority, &authority.sign(&["*.nodes.example"])),
    );
    third.connect(&address).await.unwrap();
    let mut handle = third.lookup::<Recorder>("recorder").await.unwrap();
    assert!(log(&mut handle).await.is_empty());
}

#[tokio::test]
async fn peer_without_a_certificate_is_refused() {
    use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::pem::PemObject};

    let authority = Authority::new("ours");
    let (home, address) = home(&authority).await;
    let mut roots = RootCertStore::empty();
    let root = rustls::pki_types::CertificateDer::from_pem_slice(authority.pem().as_bytes());
    roots.add(root.unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let address = address.strip_prefix("tls://").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "home".try_into().unwrap();
    // To the client, its own handshake is over before the other end has looked for a certificate.
    let mut stream = connector.connect(name, stream).await.unwrap();
    let error = stream.read_u8().await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    assert_eq!(refused(&home).await.unauthenticated, 1);
}

#[tokio::test]
async fn plain_peer_at_a_port_with_tls_and_tls_at_a_plain_port_are_refused() {
    let authority = Authority::new("ours");
    let (home, address) = home(&authority).await;
    let address = address.replace("tls://", "tcp://");
    let away = Node::builder("away").secret(*b"0123456789abcdef");
    let away = away.config(patient()).build();
    let error = away.connect(&address).await.unwrap_err();
    assert!(matches!(error, ConnectError::Protocol(_)), "{error:?}");
    assert_eq!(refused(&home).await.unreadable, 1);

    let plain = away.bind("tcp://127.0.0.1:0").await.unwrap();
    let plain = plain.replace("tcp://", "tls://");
    let error = home.connect(&plain).await.unwrap_err();
    assert!(matches!(error, ConnectError::Io(_)), "{error:?}");
    assert_eq!(refused(&away).await.unreadable, 1);
}

#[tokio::test]
async fn garbage_at_a_port_with_tls_is_refused_and_nobody_else_waits_for_it() {
    let authority = Authority::new("ours");
    let (home, address) = home(&authority).await;
    let plain = address.strip_prefix("tls://").unwrap().to_owned();
    // It says nothing, for as long as it is open.
    let silent = TcpStream::connect(&plain).await.unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    for length in [1, 5, 100, 5000] {
        let mut garbage = vec![0; length];
        random.fill(&mut garbage);
        let mut stream = TcpStream::connect(&plain).await.unwrap();
        stream.write_all(&garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut end = Vec::new();
        let _ = stream.read_to_end(&mut end).await; // an alert, or a reset
    }
    while home.refusals().unreadable < 4 {
        tokio::time::sleep(SECOND / 100).await;
    }
    let away = node("away", &tls(&authority, &authority.sign(&["away"])));
    away.connect(&address).await.unwrap();
    drop(silent);
}

#[tokio::test]
async fn connection_that_is_cut_in_the_tls_handshake_is_an_error() {
    let authority = Authority::new("ours");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tls://{}", listener.local_addr().unwrap());
    let away = node("away", &tls(&authority, &authority.sign(&["away"])));
    let cut = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
    };
    let (error, ()) = tokio::join!(away.connect(&address), cut);
    assert!(matches!(error, Err(ConnectError::Io(_))), "{error:?}");
}

#[test]
fn certificates_that_cannot_be_used_are_an_error_at_once() {
    let authority = Authority::new("ours");
    let (own, other) = (authority.sign(&["home"]), authority.sign(&["home"]));
    let made = |roots: &str, chain: &str, key: &str| {
        Tls::from_pem(roots.as_bytes(), chain.as_bytes(), key.as_bytes())
    };
    let roots = authority.pem();
    assert!(made(&roots, &own.chain, &own.key).is_ok());
    for (text, made) in [
        (
            "authorities: no certificate",
            made("", &own.chain, &own.key),
        ),
        ("chain: no certificate", made(&roots, &own.key, &own.key)),
        ("private key", made(&roots, &own.chain, &own.chain)),
        ("key", made(&roots, &own.chain, &other.key)),
    ] {
        let error = made.unwrap_err().to_string();
        assert!(error.to_lowercase().contains(text), "{error}");
    }
}
