//! File descriptors: HTTP may not use up what media and the health check need.

use crate::http::connections::HttpLimits;
use crate::net::gate::TcpLimits;

use super::config::ServerConfig;

/// Descriptors for everything except connections and media sockets: standard streams, listeners, the executor's polls.
const OTHERS: usize = 128;

/// The limits of connections within the limit of descriptors of the process, which is raised as far as necessary and
/// allowed.
pub(super) fn divide(config: &ServerConfig) -> (HttpLimits, TcpLimits) {
    let (mut http, mut tcp) = (config.http_limits, config.tcp_limits);
    let addresses = config.media.len().max(2);
    let fixed = OTHERS + config.shards.max(1) * (addresses + 4);
    let wanted = fixed + http.all + tcp.all;
    if let Some(limit) = raise(wanted) {
        (http.all, tcp.all) = shares(limit.saturating_sub(fixed), http.all, tcp.all);
        if limit < wanted {
            tracing::warn!(
                limit,
                http = http.all,
                tcp = tcp.all,
                "few file descriptors: fewer connections"
            );
        }
    }
    (http, tcp)
}

/// Divides descriptors: HTTP gets at most a third, unless media needs less than the rest.
fn shares(free: usize, http: usize, tcp: usize) -> (usize, usize) {
    let for_http = http.min((free / 3).max(free.saturating_sub(tcp))).max(1);
    (for_http, tcp.min(free.saturating_sub(for_http)).max(1))
}

/// Raises the limit of descriptors to `wanted`, if it is lower and the system allows. Returns the limit; `None` if it is
/// not known.
#[cfg(unix)]
fn raise(wanted: usize) -> Option<usize> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let target = (wanted as u64).min(hard);
    if soft < target && setrlimit(Resource::RLIMIT_NOFILE, target, hard).is_ok() {
        return usize::try_from(target).ok();
    }
    Some(usize::try_from(soft).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn raise(_wanted: usize) -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_keeps_its_descriptors() {
        assert_eq!(shares(10_000, 1024, 2048), (1024, 2048));
        assert_eq!(shares(900, 1024, 2048), (300, 600));
        assert_eq!(shares(900, 1024, 100), (800, 100));
        assert_eq!(shares(0, 1024, 2048), (1, 1));
    }
}
