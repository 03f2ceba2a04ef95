//! What an error says of certificates.

use std::io;

/// What is said to be wrong with a certificate, if that is why a connection failed.
#[cfg(not(feature = "tls"))]
pub(crate) fn refused_certificate(_: &io::Error) -> Option<String> {
    None
}

/// What is said to be wrong with a certificate, if that is why a connection failed.
#[cfg(feature = "tls")]
pub(crate) fn refused_certificate(error: &io::Error) -> Option<String> {
    use rustls::{AlertDescription as Alert, Error};

    let error = error.get_ref()?.downcast_ref::<Error>()?;
    match error {
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => Some(error.to_string()),
        Error::AlertReceived(
            alert @ (Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
            | Alert::CertificateRequired),
        ) => Some(format!("the other end says {alert:?}")),
        _ => None,
    }
}
