//! Creating a session from an offer: first the limits, then the answer.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use str0m::bwe::Bitrate;
use str0m::change::SdpOffer;
use str0m::net::TcpType;
use str0m::{Candidate, RtcConfig};

use super::crypto::{certificate, crypto};
use super::ice::{Ice, credentials, ranked};
use super::liveness::{Liveness, REPORTS};
use super::path::Path;
use super::publications::Publications;
use super::signal::{Page, SourceOf};
use super::ssrcs::Ssrcs;
use super::ssrcs::sent::SentNumbers;
use super::subscriptions::backlog::Backlog;
use super::subscriptions::layers::Estimate;
use super::subscriptions::{MAX_OFFERED, Subscriptions};
use super::{Role, Session};
use crate::ids::{ParticipantId, PersonId};
use crate::media::codec::{Name, PayloadTypes};

/// The largest SDP that is parsed, in bytes.
pub const MAX_SDP: usize = 64 << 10;
/// The number of candidates that an offer may have.
const MAX_CANDIDATES: usize = 64;
/// The number of `a=ssrc` lines that an offer may have.
const MAX_SSRC_LINES: usize = 256;
/// The directions of a section.
const DIRECTIONS: [&str; 4] = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];

/// Why an offer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is longer than [`MAX_SDP`].
    TooLong,
    /// It has too many sections, candidates or streams.
    TooMuch,
    /// It has no certificate fingerprint, or an invalid one.
    Fingerprint,
    /// It has a section other than audio, video or application.
    SectionKind,
    /// It has a section for sound (`false`) or pictures (`true`) without a codec that is forwarded.
    Codecs(bool),
    /// It has no section in which something could flow: from the peer (`true`), or to it.
    Idle(bool),
    /// It is no SDP, or cannot be answered.
    Malformed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the SDP is longer than 64 KiB",
            Self::TooMuch => "the SDP has more sections, candidates or streams than are allowed",
            Self::Fingerprint => "the SDP has no usable certificate fingerprint",
            Self::SectionKind => "the SDP has a section other than audio, video or application",
            Self::Codecs(false) => "no codec for sound in common: Opus is forwarded",
            Self::Codecs(true) => {
                "no codec for pictures in common: VP8, VP9, H.264 and AV1 are forwarded"
            }
            Self::Idle(true) => "the SDP offers to send neither sound nor pictures",
            Self::Idle(false) => "the SDP offers to receive neither sound nor pictures",
            Self::Malformed => "the SDP is malformed or not supported",
        })
    }
}

impl std::error::Error for Refusal {}

/// The settings that all sessions of a server share.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The addresses of the server's UDP candidates.
    pub udp: Vec<SocketAddr>,
    /// The addresses of the server's passive TCP candidates.
    pub tcp: Vec<SocketAddr>,
    /// Whether to estimate the bandwidth to each peer, and to pace what is sent.
    pub estimate: bool,
}

/// The participant that a session is for.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The participant's number.
    pub id: ParticipantId,
    /// Who that is, in this session and others.
    pub person: PersonId,
    /// The room.
    pub room: Arc<str>,
    /// The name that other participants see.
    pub name: Arc<str>,
    /// What the participant may do.
    pub role: Role,
}

/// Checks an offer before it is parsed.
///
/// # Errors
///
/// If it is beyond a limit, or lacks something.
pub fn check_offer(sdp: &str) -> Result<(), Refusal> {
    if sdp.len() > MAX_SDP {
        return Err(Refusal::TooLong);
    }
    let count = |prefix: &str| sdp.lines().filter(|line| line.starts_with(prefix)).count();
    if count("m=") > MAX_OFFERED
        || count("a=candidate:") > MAX_CANDIDATES
        || count("a=ssrc") > MAX_SSRC_LINES
    {
        return Err(Refusal::TooMuch);
    }
    let mut fingerprints = sdp
        .lines()
        .filter_map(|line| line.strip_prefix("a=fingerprint:"))
        .peekable();
    if fingerprints.peek().is_none() || !fingerprints.all(is_fingerprint) {
        return Err(Refusal::Fingerprint);
    }
    // str0m would leave a section of another kind out of its answer, whose sections match the offer's by their order.
    let mut sections = sdp.lines().filter_map(|line| line.strip_prefix("m="));
    if !sections.all(is_known_kind) {
        return Err(Refusal::SectionKind);
    }
    // str0m would answer two sections of one mid with one section.
    let mut names: Vec<_> = sdp
        .lines()
        .filter_map(|line| line.strip_prefix("a=mid:"))
        .map(str::trim_end)
        .collect();
    let sections = names.len();
    names.sort_unstable();
    names.dedup();
    if names.len() < sections {
        return Err(Refusal::Malformed);
    }
    let mut types = PayloadTypes::default();
    types.learn(sdp);
    check_codecs(sdp, &types)
}

/// Checks that each section that carries something has a codec, by what is known of them: the offer, or its answer.
fn check_codecs(offer: &str, types: &PayloadTypes) -> Result<(), Refusal> {
    for (video, section) in sections_in_use(offer) {
        let mid = section.lines().find_map(|line| line.strip_prefix("a=mid:"));
        let codecs = types.codecs(mid.unwrap_or_default().trim());
        let fits = codecs.iter().any(|name| (name != Name::Opus) == video);
        if mid.is_some() && !fits {
            return Err(Refusal::Codecs(video));
        }
    }
    Ok(())
}

/// Checks that a peer that only sends, or only receives, offers to do so: one that is connected and hears nothing, as after a
/// mistake in an address, would not know why.
pub(super) fn check_directions(offer: &str, role: Role) -> Result<(), Refusal> {
    let (sends, idle) = match role {
        Role::Page => return Ok(()),
        Role::Publish => (true, "a=recvonly"),
        Role::Subscribe => (false, "a=sendonly"),
    };
    let of_all = offer.split("\nm=").next().unwrap_or_default();
    let is_idle = |text: &str| text.lines().any(|line| line.trim_end() == idle);
    let has_own = |text: &str| {
        text.lines()
            .any(|line| DIRECTIONS.contains(&line.trim_end()))
    };
    let mut sections = sections_in_use(offer);
    let flows = sections.any(|(_, section)| {
        let place = if has_own(section) { section } else { of_all };
        !is_idle(place)
    });
    flows.then_some(()).ok_or(Refusal::Idle(sends))
}

/// The sections for sound (`false`) and pictures (`true`) that are neither refused nor idle.
fn sections_in_use(offer: &str) -> impl Iterator<Item = (bool, &str)> {
    offer.split("\nm=").skip(1).filter_map(|section| {
        let mut words = section.split([' ', '\r', '\n']);
        let (kind, port) = (words.next(), words.next());
        let video = match kind {
            Some("audio") => false,
            Some("video") => true,
            _ => return None,
        };
        let has = |attribute: &str| section.lines().any(|line| line.trim_end() == attribute);
        let unused = has("a=inactive") || (port == Some("0") && !has("a=bundle-only"));
        (!unused).then_some((video, section))
    })
}

fn is_known_kind(section: &str) -> bool {
    let kind = section.split(' ').next();
    matches!(kind, Some("audio" | "video" | "application"))
}

fn is_fingerprint(value: &str) -> bool {
    let Some((hash, digits)) = value.trim_end().split_once(' ') else {
        return false;
    };
    let bytes = match hash.to_ascii_lowercase().as_str() {
        "sha-256" => 32,
        "sha-384" => 48,
        "sha-512" => 64,
        _ => return false,
    };
    let is_byte = |pair: &str| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
    digits.split(':').count() == bytes && digits.split(':').all(is_byte)
}

impl Session {
    /// Creates a session from an offer. Returns it and the SDP answer.
    ///
    /// # Errors
    ///
    /// If the offer is refused.
    pub fn answer_to(
        setup: &Setup,
        identity: Identity,
        offer: &str,
        sources: Vec<SourceOf>,
        now: Instant,
    ) -> Result<(Self, String), Refusal> {
        check_offer(offer)?;
        super::clock::start();
        let offered = offer;
        let offer = SdpOffer::from_sdp_string(offer).map_err(|_| Refusal::Malformed)?;
        let credentials = credentials();
        let mut config = RtcConfig::new()
            .set_crypto_provider(Arc::clone(crypto()))
            .set_rtp_mode(true)
            // ICE-lite: the server never sends to an address before it has received from it.
            .set_ice_lite(true)
            .set_local_ice_credentials(credentials.clone())
            // They show whether the peer has sent reports.
            .set_stats_interval(Some(REPORTS))
            // An offer of all sections has a third of it.
            .set_sctp_max_buffered_amount(1 << 20)
            .enable_h265(false)
            .enable_h266(false);
        if let Some(certificate) = certificate() {
            config = config.set_dtls_cert(certificate);
        }
        if setup.estimate {
            config = config.enable_bwe(Some(Bitrate::mbps(2)));
        }
        let mut rtc = config.build(now);
        let udp = setup
            .udp
            .iter()
            .map(|address| Candidate::builder().udp().host(*address).build());
        let tcp = setup.tcp.iter().map(|address| {
            let candidate = Candidate::builder().tcp().host(*address);
            candidate.tcptype(TcpType::Passive).build()
        });
        for candidate in udp.chain(tcp).flatten() {
            rtc.add_local_candidate(candidate);
        }
        let answer = rtc.sdp_api().accept_offer(offer).map_err(|error| {
            tracing::debug!(%error, "offer refused");
            Refusal::Malformed
        })?;
        let answer = ranked(&answer.to_sdp_string(), 0);
        let mut types = PayloadTypes::default();
        types.learn(&answer);
        check_codecs(offered, &types)?;
        check_directions(offered, identity.role)?;
        let mut publications =
            Publications::new(identity.id, identity.person, Arc::clone(&identity.name));
        publications.hint(sources.into_iter().map(|of| (of.mid, of.source)));
        let session = Self {
            id: identity.id,
            person: identity.person,
            room: identity.room,
            name: identity.name,
            role: identity.role,
            rtc,
            credentials,
            ice: Ice::new(offered, &answer),
            path: Path::default(),
            signed: false,
            types,
            ssrcs: Ssrcs::default(),
            publications,
            subscriptions: Subscriptions::new(identity.id),
            sent: SentNumbers::default(),
            backlog: Backlog::new(setup.estimate),
            estimate: Estimate::default(),
            page: Page::new(now),
            liveness: Liveness::new(now),
            timeout: now,
            events: Vec::new(),
            #[cfg(test)]
            fault: None,
        };
        Ok((session, answer))
    }
}
