//! ICE restarts: new credentials for both ends, while media goes on along the old path until a check comes along another.
//!
//! The peer restarts by a whole offer, or by a fragment of SDP (RFC 8840) as WHIP has it (RFC 9725). The session's user name keeps
//! its beginning, which says whose it is; see [`owner`](crate::net::classify::owner).

use std::time::Instant;

use str0m::IceCreds;
use str0m::change::SdpOffer;

use super::Session;
use super::build::{MAX_SDP, Refusal, check_offer};
use super::ice::{credentials, ranked, remote_credentials};

/// A request to change the ICE session of a peer.
#[derive(Debug)]
pub enum Patch {
    /// A fragment of SDP for the ICE session of this entity tag, or for any.
    Fragment {
        /// The entity tag; `None` for any.
        tag: Option<String>,
        /// The fragment.
        sdp: String,
    },
    /// A whole offer, with new credentials.
    Offer(String),
}

/// The outcome of a [`Patch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Patched {
    /// The fragment has candidates only. They are not needed: the server learns them from checks.
    Noted,
    /// ICE has restarted.
    Restarted {
        /// The answer, or a fragment if a fragment was given.
        sdp: String,
        /// The entity tag of the new ICE session.
        tag: String,
    },
    /// The peer has asked for more than it may within a short time.
    TooOften,
    /// The ICE session is another.
    OtherSession,
    /// The SDP cannot be used.
    Refused(Refusal),
}

impl Session {
    /// The entity tag of the ICE session.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.credentials.ufrag
    }

    /// Restarts ICE, or does nothing, as a request demands.
    pub fn patch(&mut self, now: Instant, patch: &Patch) -> Patched {
        match patch {
            Patch::Fragment { tag, sdp } => self.patch_fragment(now, tag.as_deref(), sdp),
            Patch::Offer(_) if !self.page.spend(now) => Patched::TooOften,
            Patch::Offer(sdp) => match self.answer_again(sdp) {
                Ok(sdp) => self.restarted(sdp),
                Err(refusal) => Patched::Refused(refusal),
            },
        }
    }

    fn restarted(&self, sdp: String) -> Patched {
        let tag = self.tag().to_owned();
        Patched::Restarted { sdp, tag }
    }

    fn patch_fragment(&mut self, now: Instant, tag: Option<&str>, sdp: &str) -> Patched {
        if tag.is_some_and(|tag| tag != self.tag()) {
            return Patched::OtherSession;
        }
        if sdp.len() > MAX_SDP {
            return Patched::Refused(Refusal::TooLong);
        }
        let Some(remote) = remote_credentials(sdp) else {
            return Patched::Refused(Refusal::Malformed);
        };
        if self.ice.remote.as_ref() == Some(&remote) {
            return Patched::Noted;
        }
        if !self.page.spend(now) {
            return Patched::TooOften;
        }
        self.restart_ice(remote);
        let IceCreds { ufrag, pass } = &self.credentials;
        let ending = ranked(&self.ice.ending, self.ice.restarts);
        self.restarted(format!(
            "a=ice-lite\r\na=ice-options:ice2\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pass}\r\n{ending}"
        ))
    }

    /// Answers an offer of a peer that has a session already, with new credentials if the offer has.
    pub(super) fn answer_again(&mut self, sdp: &str) -> Result<String, Refusal> {
        check_offer(sdp)?;
        let offer = SdpOffer::from_sdp_string(sdp).map_err(|_| Refusal::Malformed)?;
        let remote = remote_credentials(sdp).ok_or(Refusal::Malformed)?;
        // The stack would restart by itself, and forget the path that media still takes.
        let before = self.ice.remote.clone();
        let own = self.credentials.clone();
        let restarts = before.as_ref() != Some(&remote);
        if restarts {
            self.restart_ice(remote);
        }
        match self.rtc.sdp_api().accept_offer(offer) {
            Ok(answer) => {
                let answer = ranked(&answer.to_sdp_string(), self.ice.restarts);
                self.answered(&answer);
                Ok(answer)
            }
            Err(error) => {
                tracing::debug!(participant = self.id.0, %error, "offer refused");
                if let Some(before) = before.filter(|_| restarts) {
                    self.set_credentials(own, before);
                }
                Err(Refusal::Malformed)
            }
        }
    }

    fn restart_ice(&mut self, remote: IceCreds) {
        self.ice.restarts += 1;
        let mut own = credentials();
        let name = crate::net::classify::owner(&self.credentials.ufrag);
        own.ufrag = format!("{name}+{}", self.ice.restarts);
        tracing::debug!(participant = self.id.0, "ICE restarts");
        self.ice.previous = Some(self.credentials.clone());
        self.set_credentials(own, remote);
    }

    fn set_credentials(&mut self, own: IceCreds, remote: IceCreds) {
        let mut direct = self.rtc.direct_api();
        direct.set_local_ice_credentials(own.clone());
        direct.set_remote_ice_credentials(remote.clone());
        self.credentials = own;
        self.ice.remote = Some(remote);
    }
}
