//! A WebRTC client for load and tests: publishes RTP that it is given, or counts what it receives.
//!
//! It is the same stack as the server's, so that a test with it says nothing of other stacks; those
//! are tested with clients that are not ours.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpPacket, RtpWrite};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig};

use crate::session::build;
use crate::session::codec::{Codec, PayloadTypes};
use crate::udp::{self, Bind, RecvBatch, SendBatch};

/// A client.
pub struct Client {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    mids: Vec<Mid>,
    pending: Option<SdpPendingOffer>,
    types: PayloadTypes,
    outgoing: SendBatch,
    timeout: Instant,
    /// Whether ICE and DTLS are done.
    pub connected: bool,
    /// Whether it is over.
    pub closed: bool,
    /// Keyframes that were asked for.
    pub keyframe_requests: usize,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client on `ip`, and its offer to send (or else receive) a track of each of `kinds`.
    ///
    /// # Errors
    ///
    /// If no socket can be bound.
    ///
    /// # Panics
    ///
    /// If the stack does not make an offer, which it always does.
    pub fn new(ip: IpAddr, sends: bool, kinds: &[MediaKind]) -> io::Result<(Self, String)> {
        let socket = Bind::new(SocketAddr::new(ip, 0)).open()?;
        let local = socket.local_addr()?;
        let now = Instant::now();
        let mut rtc = RtcConfig::new()
            .set_crypto_provider(Arc::clone(build::crypto()))
            .set_rtp_mode(true)
            .build(now);
        let candidate = Candidate::host(local, "udp").map_err(io::Error::other)?;
        rtc.add_local_candidate(candidate);
        let mut change = rtc.sdp_api();
        let direction = if sends {
            Direction::SendOnly
        } else {
            Direction::RecvOnly
        };
        let mids = kinds
            .iter()
            .map(|kind| change.add_media(*kind, direction, None, None, None))
            .collect();
        let (offer, pending) = change.apply().expect("there are changes");
        let client = Self {
            rtc,
            socket,
            local,
            mids,
            pending: Some(pending),
            types: PayloadTypes::default(),
            outgoing: SendBatch::new(),
            timeout: now,
            connected: false,
            closed: false,
            keyframe_requests: 0,
        };
        Ok((client, offer.to_sdp_string()))
    }

    /// Takes the server's answer.
    ///
    /// # Errors
    ///
    /// If it cannot be understood.
    pub fn accept(&mut self, answer: &str) -> io::Result<()> {
        let parsed = SdpAnswer::from_sdp_string(answer).map_err(io::Error::other)?;
        let pending = self
            .pending
            .take()
            .ok_or_else(|| io::Error::other("answered before"))?;
        self.rtc
            .sdp_api()
            .accept_answer(pending, parsed)
            .map_err(io::Error::other)?;
        self.types.learn(answer);
        Ok(())
    }

    /// The socket, to wait on.
    #[must_use]
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// When [`Client::drive`] is due even if nothing comes in.
    #[must_use]
    pub fn timeout(&self) -> Instant {
        self.timeout
    }

    /// Sends an RTP packet of the track number `track`; it leaves with the next [`Client::drive`].
    pub fn write(
        &mut self,
        track: usize,
        codec: Codec,
        sequence: u64,
        time: u32,
        marker: bool,
        payload: Arc<[u8]>,
    ) -> bool {
        let Some(&mid) = self.mids.get(track) else {
            return false;
        };
        let Some(pt) = self.types.payload_type(&mid, codec) else {
            return false;
        };
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx_by_mid(mid, None) else {
            return false;
        };
        let write = RtpWrite::new(pt.into(), sequence.into(), time, Instant::now(), payload);
        stream.write_rtp(write.marker(marker).nackable(true));
        true
    }

    /// Says goodbye with the next [`Client::drive`].
    pub fn close(&mut self) {
        let _ = self.rtc.close();
    }

    /// Takes what has come in, hands over the RTP in it, and sends what there is to send.
    ///
    /// # Errors
    ///
    /// If the socket or the connection fails.
    pub fn drive(
        &mut self,
        batch: &mut RecvBatch,
        mut received: impl FnMut(&RtpPacket),
    ) -> io::Result<()> {
        loop {
            match udp::recv_direct(&self.socket, batch) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            let now = Instant::now();
            for datagram in batch.iter() {
                let source = datagram.source;
                let receive = Receive::new(Protocol::Udp, source, self.local, datagram.bytes);
                let Ok(receive) = receive else { continue };
                let input = Input::Receive(now, receive);
                if self.rtc.accepts(&input) {
                    self.rtc.handle_input(input).map_err(io::Error::other)?;
                    self.poll(&mut received)?;
                }
            }
            if batch.len() < batch.capacity() {
                break;
            }
        }
        self.rtc
            .handle_input(Input::Timeout(Instant::now()))
            .map_err(io::Error::other)?;
        self.poll(&mut received)?;
        let flushed = udp::send_direct(&self.socket, &mut self.outgoing, true)?;
        if flushed.blocked {
            self.outgoing.clear();
        }
        Ok(())
    }

    fn poll(&mut self, received: &mut impl FnMut(&RtpPacket)) -> io::Result<()> {
        loop {
            if !self.rtc.is_alive() {
                self.closed = true;
                return Ok(());
            }
            match self.rtc.poll_output().map_err(io::Error::other)? {
                Output::Timeout(at) => {
                    self.timeout = at;
                    return Ok(());
                }
                Output::Transmit(transmit) => {
                    self.outgoing
                        .push_copy(transmit.destination, &transmit.contents);
                }
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::RtpPacket(packet)) => received(&packet),
                Output::Event(Event::KeyframeRequest(_)) => self.keyframe_requests += 1,
                Output::Event(
                    Event::Closed
                    | Event::IceConnectionStateChange(IceConnectionState::Disconnected),
                ) => self.closed = true,
                Output::Event(_) => {}
            }
        }
    }
}
