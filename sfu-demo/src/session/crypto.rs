//! The cryptography of all sessions: one provider, one DTLS configuration and one certificate for the process.
//!
//! A configuration tries out every key exchange when it is built, and a certificate is a new key: together they cost more than
//! all the rest of an answer.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use dimpl::{Config, Dtls, DtlsCertificate};
use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion};

/// The provider that the process uses, made at the first call.
pub fn crypto() -> &'static Arc<CryptoProvider> {
    static CRYPTO: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    CRYPTO.get_or_init(|| {
        Arc::new(CryptoProvider {
            dtls_provider: &Shared,
            ..str0m::crypto::from_feature_flags()
        })
    })
}

/// The certificate of all sessions, made at the first call; `None` if none could be made.
pub(super) fn certificate() -> Option<DtlsCert> {
    static CERTIFICATE: OnceLock<Option<DtlsCert>> = OnceLock::new();
    let make = || crypto().dtls_provider.generate_certificate();
    CERTIFICATE.get_or_init(make).clone()
}

/// The stack's own DTLS, with a shared configuration.
#[derive(Debug)]
struct Shared;

impl Shared {
    fn config(mtu: Option<usize>) -> Result<Arc<Config>, CryptoError> {
        static CONFIG: OnceLock<(Option<usize>, Arc<Config>)> = OnceLock::new();
        if let Some((of, config)) = CONFIG.get()
            && *of == mtu
        {
            return Ok(Arc::clone(config));
        }
        // The address of a peer is known to be its own: only a signed check of ICE makes it send DTLS.
        let builder = Config::builder().use_server_cookie(false);
        let builder = match mtu {
            Some(mtu) => builder.mtu(mtu),
            None => builder,
        };
        let built = builder.build();
        let config = built.map_err(|error| CryptoError::Other(error.to_string()))?;
        let config = Arc::new(config);
        let _ = CONFIG.set((mtu, Arc::clone(&config)));
        Ok(config)
    }
}

impl DtlsProvider for Shared {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        let own = str0m::crypto::from_feature_flags();
        own.dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let config = Self::config(mtu)?;
        let certificate = DtlsCertificate {
            certificate: certificate.certificate.clone(),
            private_key: certificate.private_key.clone(),
        };
        let dtls = match version {
            DtlsVersion::Dtls12 => Dtls::new_12(config, certificate, now),
            DtlsVersion::Dtls13 => Dtls::new_13(config, certificate, now),
            DtlsVersion::Auto => Dtls::new_auto(config, certificate, now),
            other => {
                let error = format!("DTLS version not supported: {other}");
                return Err(CryptoError::Other(error));
            }
        };
        Ok(Box::new(Instance(dtls)))
    }
}

struct Instance(Dtls);

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buffer)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_share_a_configuration_and_a_certificate() {
        let configs = [(); 2].map(|()| Shared::config(Some(str0m::DATAGRAM_MTU_TARGET)).unwrap());
        assert!(Arc::ptr_eq(&configs[0], &configs[1]));
        let other = Shared::config(Some(str0m::DATAGRAM_MTU_TARGET - 1)).unwrap();
        assert!(!Arc::ptr_eq(&configs[0], &other));
        let [first, second] = [(); 2].map(|()| certificate().unwrap().certificate);
        assert_eq!(first, second);
    }
}
