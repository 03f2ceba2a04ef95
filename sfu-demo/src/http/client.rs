//! The client behind a connection: its peer, or whom a trusted proxy names.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, header};
use clap::ValueEnum;
use ipnet::IpNet;
use serde::Deserialize;

/// The address of the client that a request is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client(pub(super) IpAddr);

/// An address or a network (`10.0.0.0/8`) whose hosts are trusted to name the clients that they forward for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ProxyNet(IpNet);

/// Text that is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotANetwork(String);

impl fmt::Display for NotANetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is neither an IP address nor a network such as 10.0.0.0/8",
            self.0
        )
    }
}

impl std::error::Error for NotANetwork {}

impl FromStr for ProxyNet {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let net = text.parse::<IpNet>().ok();
        let net = net.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        net.map(Self).ok_or_else(|| NotANetwork(text.to_owned()))
    }
}

impl TryFrom<String> for ProxyNet {
    type Error = NotANetwork;

    fn try_from(text: String) -> Result<Self, NotANetwork> {
        text.parse()
    }
}

/// The header in which a proxy names the client. A proxy passes on the other one as the client sent it, so only one of
/// the two can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// `X-Forwarded-For`: a list of addresses.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239): a list of parameters, of which `for` is used.
    Forwarded,
}

/// Which proxies are trusted, and with which header.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// The proxies. If empty, no header is believed.
    pub trusted: Vec<ProxyNet>,
    /// The header in which they name the client.
    pub header: ProxyHeader,
}

impl Proxies {
    /// Whether `peer` is a trusted proxy.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted.iter().any(|proxy| proxy.0.contains(&peer))
    }

    /// The client of a request that came from `peer`: the last address in the header that is not itself a trusted
    /// proxy. Each proxy adds the address that it was connected from, so what is to the left of that address is the
    /// client's own word.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        let mut client = peer.to_canonical();
        let name: HeaderName = match self.header {
            ProxyHeader::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            ProxyHeader::Forwarded => header::FORWARDED,
        };
        let lines: Vec<_> = headers.get_all(name).into_iter().collect();
        let hops = lines.into_iter().rev().flat_map(|line| {
            let line = line.to_str().unwrap_or_default();
            line.rsplit(',')
        });
        for hop in hops {
            if !self.trusts(client) {
                break;
            }
            let named = match self.header {
                ProxyHeader::XForwardedFor => address(hop),
                ProxyHeader::Forwarded => forwarded_for(hop).and_then(address),
            };
            // An unknown or hidden client (`for=unknown`) counts as its proxy.
            let Some(named) = named else { break };
            client = named.to_canonical();
        }
        Client(client)
    }
}

/// The value of `for` in one element of a `Forwarded` header.
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let is_for = name.trim().eq_ignore_ascii_case("for");
        is_for.then(|| value.trim().trim_matches('"'))
    })
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']')?.0.parse().ok();
    }
    let without_port = || text.rsplit_once(':')?.0.parse().ok();
    text.parse().ok().or_else(without_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(header: ProxyHeader, trusted: &[&str]) -> Proxies {
        Proxies {
            trusted: trusted.iter().map(|net| net.parse().unwrap()).collect(),
            header,
        }
    }

    fn client(proxies: &Proxies, peer: &str, name: &'static str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, line.parse().unwrap());
        }
        let Client(client) = proxies.client(peer.parse().unwrap(), &headers);
        client.to_string()
    }

    #[test]
    fn stranger_cannot_name_another_client() {
        let none = Proxies::default();
        let name = "x-forwarded-for";
        assert_eq!(client(&none, "127.0.0.1", name, &["9.9.9.9"]), "127.0.0.1");
        let local = proxies(ProxyHeader::XForwardedFor, &["127.0.0.1"]);
        assert_eq!(client(&local, "10.0.0.1", name, &["9.9.9.9"]), "10.0.0.1");
        // The client sent the first address itself.
        let spoofed = ["9.9.9.9, 192.0.2.7"];
        assert_eq!(client(&local, "127.0.0.1", name, &spoofed), "192.0.2.7");
        let spoofed = ["9.9.9.9", "192.0.2.7"];
        assert_eq!(client(&local, "127.0.0.1", name, &spoofed), "192.0.2.7");
        // The other header is not believed.
        let other = client(&local, "127.0.0.1", "forwarded", &["for=9.9.9.9"]);
        assert_eq!(other, "127.0.0.1");
    }

    #[test]
    fn chain_of_proxies_names_the_client() {
        let chain = proxies(ProxyHeader::XForwardedFor, &["127.0.0.1", "10.0.0.0/8"]);
        let name = "x-forwarded-for";
        let hops = ["1.1.1.1, 192.0.2.7:4711, 10.1.2.3"];
        assert_eq!(client(&chain, "::ffff:127.0.0.1", name, &hops), "192.0.2.7");
        for hidden in ["unknown", "", ",", "_hidden", "\u{e9}"] {
            let hops = [hidden];
            assert_eq!(client(&chain, "10.0.0.1", name, &hops), "10.0.0.1");
        }
    }

    #[test]
    fn forwarded_header_is_read() {
        let local = proxies(ProxyHeader::Forwarded, &["::1"]);
        let name = "forwarded";
        for (line, expected) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("proto=https; for=\"192.0.2.60:80\"", "192.0.2.60"),
            ("for=unknown", "::1"),
            ("nothing", "::1"),
        ] {
            assert_eq!(client(&local, "::1", name, &[line]), expected, "{line}");
        }
    }

    #[test]
    fn networks_are_parsed() {
        assert!("10.0.0.0/8".parse::<ProxyNet>().is_ok());
        assert!("::1".parse::<ProxyNet>().is_ok());
        let error = "proxy.local".parse::<ProxyNet>().unwrap_err().to_string();
        assert!(error.contains("proxy.local") && error.contains("10.0.0.0/8"));
    }
}
