//! The cryptography of all sessions.

use std::sync::{Arc, OnceLock};

use str0m::config::CryptoProvider;

/// The provider that the process uses, made at the first call.
pub fn crypto() -> &'static Arc<CryptoProvider> {
    static CRYPTO: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    CRYPTO.get_or_init(|| Arc::new(str0m::crypto::from_feature_flags()))
}
