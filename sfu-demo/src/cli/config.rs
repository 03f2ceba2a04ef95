//! The configuration of the server: flags override the environment, which overrides the file, which overrides the
//! defaults.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use clap::Args;
use serde::Deserialize;

use sfu_demo::mailbox::MailboxKind;
use sfu_demo::server::{Limits, Proxies, ProxyHeader, ProxyNet, ServerConfig};

/// Arguments of the server.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ServeArgs {
    /// Address that HTTP listens on [default: 127.0.0.1:8080]
    #[arg(long, env = "SFU_LISTEN", value_name = "ADDRESS:PORT")]
    pub(super) listen: Option<SocketAddr>,

    /// Address of this host for media; may be given more than once [default: loopback and the address from
    /// which others are reached]
    #[arg(
        long = "media-address",
        env = "SFU_MEDIA_ADDRESS",
        value_name = "IP",
        value_delimiter = ','
    )]
    pub(super) media_address: Vec<IpAddr>,

    /// Port for media [default: any]
    #[arg(long, env = "SFU_MEDIA_PORT", value_name = "PORT")]
    pub(super) media_port: Option<u16>,

    /// Do not offer UDP for media
    #[arg(long, env = "SFU_NO_UDP", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) no_udp: Option<bool>,

    /// Do not offer TCP for media, which is for networks that block UDP
    #[arg(long, env = "SFU_NO_TCP", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) no_tcp: Option<bool>,

    /// Number of shards, each with its own thread [default: one per core, at most 8]
    #[arg(long, env = "SFU_SHARDS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) shards: Option<u16>,

    /// Mailbox of the actors [default: mesh]
    #[arg(long, env = "SFU_MAILBOX", value_enum)]
    #[serde(skip)]
    pub(super) mailbox: Option<MailboxKind>,

    /// Secret that signs room tokens, at least 32 bytes; without it no token is needed, and the server refuses
    /// to listen for other machines
    #[arg(long, env = "SFU_SECRET", value_name = "TEXT", hide_env_values = true)]
    pub(super) secret: Option<String>,

    /// Token that opens the statistics, at least 16 bytes [default: a random one, which is printed, if there is
    /// no secret; tokens signed with `token --operator` otherwise]
    #[arg(
        long,
        env = "SFU_OPERATOR_TOKEN",
        value_name = "TEXT",
        hide_env_values = true
    )]
    pub(super) operator_token: Option<String>,

    /// Address or network of a proxy that names the client of each request; may be given more than once
    #[arg(
        long,
        env = "SFU_TRUSTED_PROXY",
        value_name = "IP[/PREFIX]",
        value_delimiter = ','
    )]
    pub(super) trusted_proxy: Vec<ProxyNet>,

    /// Header in which trusted proxies name the client [default: x-forwarded-for]
    #[arg(long, env = "SFU_PROXY_HEADER", value_enum)]
    pub(super) proxy_header: Option<ProxyHeader>,

    /// Participants in a room [default: 64]
    #[arg(long, env = "SFU_ROOM_LIMIT", value_name = "N")]
    pub(super) room_limit: Option<usize>,

    /// Participants on the server [default: 1024]
    #[arg(long, env = "SFU_SERVER_LIMIT", value_name = "N")]
    pub(super) server_limit: Option<usize>,

    /// Participants from one IP address (of IPv6: one /64) [default: as many as the server takes]
    #[arg(long, env = "SFU_ADDRESS_LIMIT", value_name = "N")]
    pub(super) address_limit: Option<usize>,

    /// Joins of one IP address at once; a tenth of it per second after that [default: 30]
    #[arg(long, env = "SFU_JOIN_BURST", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) join_burst: Option<u32>,

    /// How long participants may stay after SIGTERM, in seconds, while joins are refused and /healthz reports
    /// 503; a second SIGTERM ends the wait [default: 0]
    #[arg(long, env = "SFU_DRAIN", value_name = "SECONDS")]
    pub(super) drain: Option<u16>,

    /// Write logs as JSON
    #[arg(long, env = "SFU_LOG_JSON", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) log_json: Option<bool>,

    /// TOML file with any of the above, named like the flags
    #[arg(long, env = "SFU_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub(super) config: Option<PathBuf>,
}

/// Why a configuration cannot be used.
#[derive(Debug)]
pub(super) enum ConfigError {
    /// The file cannot be read.
    Read(PathBuf, io::Error),
    /// The file has an invalid key or value.
    Parse(PathBuf, String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Parse(path, error) => write!(f, "cannot use {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for ConfigError {}

impl ServeArgs {
    /// Fills in from the file what neither flags nor environment set.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or used.
    pub(super) fn with_file(self) -> Result<Self, ConfigError> {
        let Some(path) = self.config.clone() else {
            return Ok(self);
        };
        let text =
            fs::read_to_string(&path).map_err(|error| ConfigError::Read(path.clone(), error))?;
        let file = Self::from_toml(&path, &text)?;
        Ok(Self {
            listen: self.listen.or(file.listen),
            media_address: if self.media_address.is_empty() {
                file.media_address
            } else {
                self.media_address
            },
            media_port: self.media_port.or(file.media_port),
            no_udp: self.no_udp.or(file.no_udp),
            no_tcp: self.no_tcp.or(file.no_tcp),
            shards: self.shards.or(file.shards),
            mailbox: self.mailbox.or(file.mailbox),
            secret: self.secret.or(file.secret),
            operator_token: self.operator_token.or(file.operator_token),
            trusted_proxy: if self.trusted_proxy.is_empty() {
                file.trusted_proxy
            } else {
                self.trusted_proxy
            },
            proxy_header: self.proxy_header.or(file.proxy_header),
            room_limit: self.room_limit.or(file.room_limit),
            server_limit: self.server_limit.or(file.server_limit),
            address_limit: self.address_limit.or(file.address_limit),
            join_burst: self.join_burst.or(file.join_burst),
            drain: self.drain.or(file.drain),
            log_json: self.log_json.or(file.log_json),
            config: self.config,
        })
    }

    fn from_toml(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let wrong = |error: String| ConfigError::Parse(path.to_owned(), error);
        let mut table: toml::Table = text
            .parse()
            .map_err(|e: toml::de::Error| wrong(e.to_string()))?;
        let mailbox = match table.remove("mailbox") {
            None => None,
            Some(toml::Value::String(name)) => Some(
                <MailboxKind as clap::ValueEnum>::from_str(&name, true)
                    .map_err(|_| wrong(format!("unknown mailbox {name:?}")))?,
            ),
            Some(_) => return Err(wrong("mailbox is not a string".to_owned())),
        };
        if table
            .get("shards")
            .and_then(toml::Value::as_integer)
            .is_some_and(|n| !(1..=64).contains(&n))
        {
            return Err(wrong("shards is not between 1 and 64".to_owned()));
        }
        let args: Self = table
            .try_into()
            .map_err(|e: toml::de::Error| wrong(e.to_string()))?;
        Ok(Self { mailbox, ..args })
    }

    /// The mailbox to run on.
    pub(super) fn mailbox(&self) -> MailboxKind {
        self.mailbox.unwrap_or(MailboxKind::DEFAULT)
    }

    /// The server's configuration.
    pub(super) fn config(&self) -> ServerConfig {
        let default = ServerConfig::default();
        let burst = self.join_burst.unwrap_or(default.join_rate.0);
        ServerConfig {
            http: self.listen.unwrap_or(default.http),
            media: self.media_address.clone(),
            media_port: self.media_port.unwrap_or(default.media_port),
            udp: !self.no_udp.unwrap_or(false),
            tcp: !self.no_tcp.unwrap_or(false),
            http_limits: default.http_limits,
            tcp_limits: default.tcp_limits,
            shards: self.shards.map_or(default.shards, usize::from),
            secret: self.secret.clone().map(String::into_bytes),
            operator_token: self.operator_token.clone(),
            proxies: Proxies {
                trusted: self.trusted_proxy.clone(),
                header: self.proxy_header.unwrap_or_default(),
            },
            limits: Limits {
                room: self.room_limit.unwrap_or(default.limits.room),
                server: self.server_limit.unwrap_or(default.limits.server),
                address: self.address_limit.unwrap_or(default.limits.address),
            },
            join_rate: (burst, f64::from(burst) / 10.0),
            estimate: default.estimate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_toml(text: &str) -> Result<ServeArgs, ConfigError> {
        ServeArgs::from_toml(Path::new("sfu.toml"), text)
    }

    #[test]
    fn file_fills_in_what_flags_leave_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sfu.toml");
        fs::write(
            &path,
            "listen = \"127.0.0.1:1\"\nshards = 3\nmailbox = \"flume\"\n",
        )
        .unwrap();
        let flags = ServeArgs {
            shards: Some(2),
            config: Some(path),
            ..ServeArgs::default()
        };
        let args = flags.with_file().unwrap();
        assert_eq!(args.shards, Some(2), "a flag wins");
        assert_eq!(args.listen, Some("127.0.0.1:1".parse().unwrap()));
        assert_eq!(args.mailbox(), MailboxKind::Flume);
        assert_eq!(args.config().shards, 2);
    }

    #[test]
    fn mistakes_in_the_file_are_named() {
        let error = |text| from_toml(text).unwrap_err().to_string();
        assert!(error("lisen = 1").contains("lisen"));
        assert!(error("mailbox = \"cardboard\"").contains("cardboard"));
        assert!(error("shards = 0").contains("shards"));
        assert!(error("shards = ").contains("sfu.toml"));
        let missing = ServeArgs {
            config: Some("/does/not/exist".into()),
            ..ServeArgs::default()
        };
        assert!(
            missing
                .with_file()
                .unwrap_err()
                .to_string()
                .contains("/does/not/exist")
        );
    }
}
