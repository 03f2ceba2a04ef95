//! One session: the stack of WebRTC between the datagrams of a hub and the two connections of a link.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use str0m::{
    Candidate, IceCreds, Rtc, RtcConfig,
    change::{SdpAnswer, SdpOffer, SdpPendingOffer},
    channel::{ChannelConfig, ChannelId, Reliability},
};
use tokio::sync::oneshot;

use super::{
    BUFFERED, Keys, LOOSE, MESSAGE, SPOKEN, WebRtc,
    drive::{Driver, pipe},
    hub::{Hub, Place},
    offer::{MAX_SDP, Refusal, check, media},
    rtp::{Rtp, sections},
};
use crate::transport::{Connection, Datagrams, media::Section};

fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

/// A session whose channels are being opened. It ends when this is dropped before they are.
pub(super) struct Session {
    connection: Connection,
    is_open: oneshot::Receiver<()>,
}

impl Session {
    fn start(
        mut rtc: Rtc,
        place: Place,
        local: Vec<SocketAddr>,
        channels: [ChannelId; 3],
        sections: Vec<Section>,
    ) -> Self {
        let (tx, is_open) = oneshot::channel();
        let fault = Arc::default();
        let [(high, far_high), (low, far_low)] = [(), ()].map(|()| pipe(&fault));
        let (near, far) = Datagrams::pair(LOOSE, MESSAGE);
        let far = ([far_high, far_low], far);
        let mut connection = high.with_sibling(low).with_datagrams(near);
        let mut rtp = None;
        if !sections.is_empty() {
            let channel = rtc.direct_api().create_data_channel(channel(3));
            let (media, of_session) = Rtp::new(channel, sections);
            connection = connection.with_media(media);
            rtp = Some(of_session);
        }
        let driver = Driver::new(rtc, place, local, channels, rtp, far, fault);
        tokio::spawn(driver.run(tx));
        Self {
            connection,
            is_open,
        }
    }

    /// The connection for high, which has that for low with it, once both channels are open.
    pub(super) async fn connection(self) -> io::Result<Connection> {
        let closed = |_| failed("the data channels did not open");
        self.is_open.await.map_err(closed)?;
        Ok(self.connection)
    }
}

fn config(keys: &Keys, credentials: IceCreds, is_lite: bool) -> RtcConfig {
    let config = RtcConfig::new()
        .set_crypto_provider(keys.crypto.clone())
        .clear_codecs()
        // Who accepts never sends to an address before it has received from it.
        .set_ice_lite(is_lite)
        .set_local_ice_credentials(credentials)
        .set_sctp_max_message_size(MESSAGE as u32)
        // A message of each class goes beyond what is looked at.
        .set_sctp_max_buffered_amount(BUFFERED.iter().sum::<usize>() + SPOKEN + 4 * MESSAGE);
    match &keys.certificate {
        Some(certificate) => config.set_dtls_cert(certificate.clone()),
        None => config,
    }
}

/// With what is known to browsers and to the stack, for sessions that have sections.
fn with_codecs(config: RtcConfig) -> RtcConfig {
    let mut config = config
        .enable_opus(true, false)
        .enable_vp8(true)
        .enable_vp9(true);
    // One profile, which all browsers have: the stack panics where two of its own fit one of an offer.
    let h264 = (125.into(), Some(107.into()));
    config
        .codec_config()
        .add_h264(h264.0, h264.1, true, 0x42_e01f);
    config
}

/// The channel of a class, as this end sends on it, that for what may be lost, or that on which sections are spoken of: high overtakes low, since SCTP sends
/// unordered messages first.
fn channel(class: u16) -> ChannelConfig {
    ChannelConfig {
        label: ["high", "low", "loose", "media"][usize::from(class)].to_owned(),
        ordered: [1, 3].contains(&class),
        reliability: match class {
            2 => Reliability::MaxRetransmits { retransmits: 0 },
            _ => Reliability::Reliable,
        },
        // Both ends know them.
        negotiated: Some(class),
        protocol: "lanemesh".to_owned(),
    }
}

/// Answers an offer. Returns the answer, the name of the session's resource, and the session.
pub(super) fn answer(
    transport: &WebRtc,
    text: &str,
    host: IpAddr,
) -> io::Result<Result<(String, String, Session), Refusal>> {
    let hub = transport.hub()?;
    if let Err(refusal) = check(text) {
        return Ok(Err(refusal));
    }
    let Some((place, credentials, resource)) = hub.place(transport.limit())? else {
        return Ok(Err(Refusal::Full));
    };
    let Ok(offer) = SdpOffer::from_sdp_string(text) else {
        return Ok(Err(Refusal::Malformed));
    };
    let mids = media(text);
    let has_media = mids.clone().next().is_some();
    let config = config(&transport.keys, credentials, true);
    let config = if has_media {
        with_codecs(config)
    } else {
        config
    };
    let mut rtc = config.build(Instant::now());
    let local = transport.candidates(hub, host);
    for address in &local {
        rtc.add_local_candidate(Candidate::host(*address, "udp").map_err(failed)?);
    }
    // At some contradictions in an offer the stack panics.
    let accepted = catch_unwind(AssertUnwindSafe(|| rtc.sdp_api().accept_offer(offer)));
    let Ok(accepted) = accepted else {
        return Ok(Err(Refusal::Malformed));
    };
    let answer = match accepted {
        Ok(answer) => answer.to_sdp_string(),
        Err(error) => {
            tracing::debug!(%error, "an offer cannot be answered");
            return Ok(Err(Refusal::Malformed));
        }
    };
    let channels = [0, 1, 2].map(|class| rtc.direct_api().create_data_channel(channel(class)));
    let sections = sections(&mut rtc, mids);
    let session = Session::start(rtc, place, local, channels, sections);
    Ok(Ok((answer, resource, session)))
}

/// An offer that was made and not yet answered.
pub(super) struct Offered {
    rtc: Rtc,
    pending: SdpPendingOffer,
    place: Place,
    local: SocketAddr,
    channels: [ChannelId; 3],
}

/// Makes an offer, for a session that has `hub` for itself.
pub(super) fn offer(keys: &Keys, hub: Arc<Hub>) -> io::Result<(String, Offered)> {
    let local = hub.local();
    let place = hub.place(usize::MAX)?;
    let (place, credentials, _) = place.ok_or_else(|| failed("there is no place"))?;
    let mut rtc = config(keys, credentials, false).build(Instant::now());
    rtc.add_local_candidate(Candidate::host(local, "udp").map_err(failed)?);
    let mut changes = rtc.sdp_api();
    let channels = [0, 1, 2].map(|class| changes.add_channel_with_config(channel(class)));
    let (offer, pending) = changes.apply().ok_or_else(|| failed("there is no offer"))?;
    let offered = Offered {
        rtc,
        pending,
        place,
        local,
        channels,
    };
    Ok((offer.to_sdp_string(), offered))
}

impl Offered {
    pub(super) fn accept(mut self, answer: &str) -> io::Result<Session> {
        debug_assert!(answer.len() <= MAX_SDP);
        let answer = SdpAnswer::from_sdp_string(answer).map_err(failed)?;
        let changes = self.rtc.sdp_api();
        changes
            .accept_answer(self.pending, answer)
            .map_err(failed)?;
        Ok(Session::start(
            self.rtc,
            self.place,
            vec![self.local],
            self.channels,
            Vec::new(), // sections are for pages
        ))
    }
}
