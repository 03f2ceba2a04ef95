//! A WebRTC client for load and tests: it publishes RTP, or receives it.
//!
//! It uses the server's own stack, so tests with it say nothing about other stacks. Other clients test those.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use str0m::change::{SdpAnswer, SdpPendingOffer};
#[cfg(test)]
use str0m::media::SimulcastLayer;
use str0m::media::{Direction, MediaKind, Mid, Rid, Simulcast};
use str0m::net::{Protocol, Receive, TcpType};
#[cfg(test)]
use str0m::rtp::ExtensionValues;
use str0m::rtp::{RtpPacket, RtpWrite};
use str0m::{Candidate, Event, IceConnectionState, IceCreds, Input, Output, Rtc, RtcConfig};

use crate::media::codec::{Codec, PayloadTypes};
#[cfg(test)]
use crate::net::classify::{PacketKind, classify};
use crate::net::tcp::{Inbox, Outbox};
use crate::net::udp::{self, Bind, RecvBatch, SendBatch};
use crate::session::crypto;

/// A client.
pub struct Client {
    rtc: Rtc,
    wire: Wire,
    local: SocketAddr,
    mids: Vec<Mid>,
    pending: Option<SdpPendingOffer>,
    types: PayloadTypes,
    timeout: Instant,
    /// Whether ICE and DTLS are done.
    pub connected: bool,
    /// Whether the session has ended.
    pub closed: bool,
    /// Keyframe requests received.
    pub keyframe_requests: usize,
}

/// The transport of a client.
enum Wire {
    Udp(UdpSocket, SendBatch),
    /// Connected once the answer gives the address.
    Tcp(Option<TcpStream>, Inbox, Outbox),
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client with a UDP socket on `ip`, and its offer to send (otherwise receive) a track of each of `kinds`.
    ///
    /// # Errors
    ///
    /// If no socket can be bound.
    ///
    /// # Panics
    ///
    /// If the stack makes no offer, which does not happen.
    pub fn new(ip: IpAddr, sends: bool, kinds: &[MediaKind]) -> io::Result<(Self, String)> {
        let socket = Bind::new(SocketAddr::new(ip, 0)).open()?;
        let local = socket.local_addr()?;
        let wire = Wire::Udp(socket, SendBatch::new());
        Self::on(wire, local, sends, kinds, None, RtcConfig::new())
    }

    /// A client that knows Opus and VP8 only, so that an offer of many sections is short; otherwise as [`Client::new`].
    ///
    /// # Errors
    ///
    /// If no socket can be bound.
    #[cfg(test)]
    pub(crate) fn plain(
        ip: IpAddr,
        sends: bool,
        kinds: &[MediaKind],
    ) -> io::Result<(Self, String)> {
        Self::on_udp(ip, sends, kinds, None)
    }

    /// A client as [`Client::plain`] makes it that sends one simulcast, of layers with these names.
    ///
    /// # Errors
    ///
    /// If no socket can be bound.
    #[cfg(test)]
    pub(crate) fn simulcast(ip: IpAddr, rids: &[&str]) -> io::Result<(Self, String)> {
        let layers = rids.iter().map(|rid| SimulcastLayer::new(rid));
        let simulcast = Simulcast {
            send: layers.collect(),
            recv: Vec::new(),
        };
        Self::on_udp(ip, true, &[MediaKind::Video], Some(simulcast))
    }

    #[cfg(test)]
    fn on_udp(
        ip: IpAddr,
        sends: bool,
        kinds: &[MediaKind],
        simulcast: Option<Simulcast>,
    ) -> io::Result<(Self, String)> {
        let socket = Bind::new(SocketAddr::new(ip, 0)).open()?;
        let local = socket.local_addr()?;
        let wire = Wire::Udp(socket, SendBatch::new());
        let config = RtcConfig::new().clear_codecs();
        let config = config.enable_opus(true, false).enable_vp8(true);
        Self::on(wire, local, sends, kinds, simulcast, config)
    }

    /// A client that connects by TCP to the address in the answer.
    ///
    /// # Errors
    ///
    /// None at present.
    ///
    /// # Panics
    ///
    /// As [`Client::new`].
    pub fn over_tcp(sends: bool, kinds: &[MediaKind]) -> io::Result<(Self, String)> {
        let wire = Wire::Tcp(None, Inbox::new(), Outbox::new());
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self::on(wire, nowhere, sends, kinds, None, RtcConfig::new())
    }

    fn on(
        wire: Wire,
        local: SocketAddr,
        sends: bool,
        kinds: &[MediaKind],
        simulcast: Option<Simulcast>,
        config: RtcConfig,
    ) -> io::Result<(Self, String)> {
        let now = Instant::now();
        let mut rtc = config
            .set_crypto_provider(Arc::clone(crypto()))
            .set_rtp_mode(true)
            .build(now);
        if matches!(wire, Wire::Udp(..)) {
            let candidate = Candidate::host(local, "udp").map_err(io::Error::other)?;
            rtc.add_local_candidate(candidate);
        }
        let mut change = rtc.sdp_api();
        let direction = if sends {
            Direction::SendOnly
        } else {
            Direction::RecvOnly
        };
        let mids = kinds
            .iter()
            .map(|kind| change.add_media(*kind, direction, None, None, simulcast.clone()))
            .collect();
        let (offer, pending) = change.apply().expect("there are changes");
        let client = Self {
            rtc,
            wire,
            local,
            mids,
            pending: Some(pending),
            types: PayloadTypes::default(),
            timeout: now,
            connected: false,
            closed: false,
            keyframe_requests: 0,
        };
        Ok((client, offer.to_sdp_string()))
    }

    /// Applies the server's answer.
    ///
    /// # Errors
    ///
    /// If it is malformed, or if the server cannot be reached by TCP.
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
        if let Wire::Tcp(stream, ..) = &mut self.wire {
            let to = passive(answer)
                .ok_or_else(|| io::Error::other("the answer has no TCP candidate"))?;
            let connected = TcpStream::connect(to)?;
            connected.set_nodelay(true)?;
            connected.set_nonblocking(true)?;
            self.local = connected.local_addr()?;
            *stream = Some(connected);
            let candidate = Candidate::builder().tcp().host(self.local);
            let candidate = candidate.tcptype(TcpType::Active).build();
            self.rtc
                .add_local_candidate(candidate.map_err(io::Error::other)?);
        }
        Ok(())
    }

    /// The UDP socket, to wait on.
    ///
    /// # Panics
    ///
    /// If the client uses TCP.
    #[must_use]
    pub fn socket(&self) -> &UdpSocket {
        let Wire::Udp(socket, _) = &self.wire else {
            panic!("the client uses TCP")
        };
        socket
    }

    /// The TCP connection, to wait on.
    ///
    /// # Panics
    ///
    /// If the client uses UDP, or has not connected yet.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        let Wire::Tcp(Some(stream), ..) = &self.wire else {
            panic!("the client is not connected by TCP")
        };
        stream
    }

    /// When [`Client::drive`] is due even if nothing is received.
    #[must_use]
    pub fn timeout(&self) -> Instant {
        self.timeout
    }

    /// Queues an RTP packet of the track number `track` for the next [`Client::drive`].
    pub fn write(
        &mut self,
        track: usize,
        codec: Codec,
        sequence: u64,
        time: u32,
        marker: bool,
        payload: Arc<[u8]>,
    ) -> bool {
        self.write_rtp(track, None, codec, (sequence, time, marker), payload)
    }

    /// Queues a picture that is one RTP packet, of the layer with this name; without a name as [`Client::write`].
    #[cfg(test)]
    pub(crate) fn write_layer(
        &mut self,
        track: usize,
        layer: Option<&str>,
        codec: Codec,
        sequence: u64,
        time: u32,
        payload: Arc<[u8]>,
    ) -> bool {
        let layer = layer.map(Rid::from);
        self.write_rtp(track, layer, codec, (sequence, time, true), payload)
    }

    /// Queues a packet of Opus of this level, in dBov.
    #[cfg(test)]
    pub(crate) fn write_sound(
        &mut self,
        track: usize,
        sequence: u64,
        level: i8,
        payload: Arc<[u8]>,
    ) -> bool {
        let opus = Codec {
            name: crate::media::codec::Name::Opus,
            profile: 0,
        };
        let values = ExtensionValues {
            audio_level: Some(level),
            voice_activity: Some(true),
            ..ExtensionValues::default()
        };
        let Some(mid) = self.mids.get(track).copied() else {
            return false;
        };
        let Some(pt) = self.types.payload_type(&mid, opus) else {
            return false;
        };
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx_by_mid(mid, None) else {
            return false;
        };
        let time = (sequence * 960) as u32;
        let write = RtpWrite::new(pt.into(), sequence.into(), time, Instant::now(), payload);
        stream.write_rtp(write.ext_vals(values));
        true
    }

    fn write_rtp(
        &mut self,
        track: usize,
        layer: Option<Rid>,
        codec: Codec,
        (sequence, time, marker): (u64, u32, bool),
        payload: Arc<[u8]>,
    ) -> bool {
        let Some(&mid) = self.mids.get(track) else {
            return false;
        };
        let Some(pt) = self.types.payload_type(&mid, codec) else {
            return false;
        };
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_tx_by_mid(mid, layer) else {
            return false;
        };
        let write = RtpWrite::new(pt.into(), sequence.into(), time, Instant::now(), payload);
        stream.write_rtp(write.marker(marker).nackable(true));
        true
    }

    /// Continues a track from another source (SSRC), like a sender that restarts. Returns the source.
    pub fn change_source(&mut self, track: usize) -> Option<u32> {
        let mid = *self.mids.get(track)?;
        let mut direct = self.rtc.direct_api();
        let (ssrc, again) = (direct.new_ssrc(), direct.new_ssrc());
        let stream = direct.reset_stream_tx(mid, None, ssrc, Some(again))?;
        Some(*stream.ssrc())
    }

    /// Begins to restart ICE. Returns the fragment of SDP for the server, whose answer goes to [`Client::restarted`].
    pub fn restart(&mut self) -> String {
        let credentials = IceCreds::new();
        let IceCreds { ufrag, pass } = &credentials;
        let fragment = format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pass}\r\n");
        let mut direct = self.rtc.direct_api();
        direct.set_local_ice_credentials(credentials);
        fragment
    }

    /// Restarts ICE with the server's fragment of SDP. Returns whether it has credentials.
    pub fn restarted(&mut self, fragment: &str) -> bool {
        let value = |name: &str| fragment.lines().find_map(|line| line.strip_prefix(name));
        let (Some(ufrag), Some(pass)) = (value("a=ice-ufrag:"), value("a=ice-pwd:")) else {
            return false;
        };
        let (ufrag, pass) = (ufrag.to_owned(), pass.to_owned());
        let mut direct = self.rtc.direct_api();
        direct.set_remote_ice_credentials(IceCreds { ufrag, pass });
        true
    }

    /// Closes the session with the next [`Client::drive`].
    pub fn close(&mut self) {
        let _ = self.rtc.close();
    }

    /// Receives, calls `received` for each RTP packet, and sends.
    ///
    /// # Errors
    ///
    /// If the socket or the connection fails.
    pub fn drive(
        &mut self,
        batch: &mut RecvBatch,
        mut received: impl FnMut(&RtpPacket),
    ) -> io::Result<()> {
        match self.wire {
            Wire::Udp(..) => self.receive(batch, &mut received)?,
            Wire::Tcp(..) => self.read(&mut received)?,
        }
        self.advance(&mut received)
    }

    /// Advances the time, and sends.
    fn advance(&mut self, received: &mut impl FnMut(&RtpPacket)) -> io::Result<()> {
        self.rtc
            .handle_input(Input::Timeout(Instant::now()))
            .map_err(io::Error::other)?;
        self.poll(received)?;
        match &mut self.wire {
            Wire::Udp(socket, outgoing) => {
                if udp::send_direct(socket, outgoing, true)?.blocked {
                    outgoing.clear();
                }
            }
            Wire::Tcp(Some(stream), _, outgoing) => {
                while !outgoing.is_empty() {
                    match outgoing.with_slices(|slices| stream.write_vectored(slices)) {
                        Ok(written) => {
                            outgoing.advance(written);
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error),
                    }
                }
            }
            Wire::Tcp(None, ..) => {}
        }
        Ok(())
    }

    /// As [`Client::drive`], but media is counted without being decrypted: a client that asks for little of the machine.
    ///
    /// # Errors
    ///
    /// If the socket fails.
    #[cfg(test)]
    pub(crate) fn drive_deaf(&mut self, batch: &mut RecvBatch) -> io::Result<u64> {
        let mut media = 0;
        let mut rest = Vec::new();
        loop {
            match udp::recv_direct(self.socket(), batch) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            for datagram in batch.iter() {
                if classify(datagram.bytes) == Some(PacketKind::Rtp) {
                    media += 1;
                } else {
                    rest.push((datagram.source, datagram.bytes.to_vec()));
                }
            }
            if batch.len() < batch.capacity() {
                break;
            }
        }
        let now = Instant::now();
        let is_due = self.timeout <= now || !rest.is_empty();
        for (source, bytes) in rest {
            self.input(now, Protocol::Udp, source, &bytes, &mut |_| {})?;
        }
        if is_due {
            self.advance(&mut |_| {})?;
        }
        Ok(media)
    }

    fn receive(
        &mut self,
        batch: &mut RecvBatch,
        received: &mut impl FnMut(&RtpPacket),
    ) -> io::Result<()> {
        loop {
            match udp::recv_direct(self.socket(), batch) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            let now = Instant::now();
            for datagram in batch.iter() {
                let source = datagram.source;
                self.input(now, Protocol::Udp, source, datagram.bytes, received)?;
            }
            if batch.len() < batch.capacity() {
                return Ok(());
            }
        }
    }

    fn read(&mut self, received: &mut impl FnMut(&RtpPacket)) -> io::Result<()> {
        loop {
            let Wire::Tcp(Some(stream), inbox, _) = &mut self.wire else {
                return Ok(());
            };
            match stream.read(inbox.room()) {
                Ok(0) => {
                    self.closed = true;
                    return Ok(());
                }
                Ok(read) => inbox.filled(read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            let source = stream.peer_addr()?;
            let now = Instant::now();
            while let Wire::Tcp(_, inbox, _) = &mut self.wire
                && let Some(frame) = inbox
                    .frame()
                    .map_err(|_| io::Error::other("a frame is too long"))?
            {
                let frame = frame.to_vec();
                self.input(now, Protocol::Tcp, source, &frame, received)?;
            }
        }
    }

    fn input(
        &mut self,
        now: Instant,
        protocol: Protocol,
        source: SocketAddr,
        bytes: &[u8],
        received: &mut impl FnMut(&RtpPacket),
    ) -> io::Result<()> {
        let Ok(receive) = Receive::new(protocol, source, self.local, bytes) else {
            return Ok(());
        };
        let input = Input::Receive(now, receive);
        if self.rtc.accepts(&input) {
            self.rtc.handle_input(input).map_err(io::Error::other)?;
            self.poll(received)?;
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
                Output::Transmit(transmit) => match &mut self.wire {
                    Wire::Udp(_, outgoing) => {
                        outgoing.push_copy(transmit.destination, &transmit.contents);
                    }
                    Wire::Tcp(_, _, outgoing) => {
                        outgoing.push(Instant::now(), &transmit.contents);
                    }
                },
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

/// The address of the first passive TCP candidate in an answer.
fn passive(answer: &str) -> Option<SocketAddr> {
    let line = answer
        .lines()
        .find(|line| line.starts_with("a=candidate:") && line.contains("tcptype passive"))?;
    let mut words = line.split(' ').skip(4);
    Some(SocketAddr::new(
        words.next()?.parse().ok()?,
        words.next()?.parse().ok()?,
    ))
}
