//! `sfu-demo replay`: a capture through the relay or the server, compared byte for byte.

use std::path::PathBuf;

use sfu_demo::mailbox::{Mailbox, MailboxKind, OnMailbox};
use sfu_demo::media::codec::Name;
use sfu_demo::tools::replay;

use super::failure::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    /// Capture, pcap or pcapng
    file: PathBuf,
    /// What to send through: the relay forwards any RTP, the server video of a known codec
    #[arg(long, value_enum, default_value_t = Through::Relay)]
    through: Through,
    /// Codec of the capture
    #[arg(
        long,
        value_enum,
        value_name = "CODEC",
        required_if_eq("through", "webrtc")
    )]
    codec: Option<Video>,
    /// Number of receivers
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    receivers: u16,
    /// Speed relative to the recording; 0 is as fast as possible
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = speed)]
    speed: f64,
    /// Number of shards that share the receivers
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    shards: u16,
    /// Mailbox between shards
    #[arg(long, value_enum, default_value_t = MailboxKind::DEFAULT)]
    mailbox: MailboxKind,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Through {
    Relay,
    Webrtc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Video {
    Vp8,
    H264,
    Vp9,
    Av1,
}

impl From<Video> for Name {
    fn from(video: Video) -> Self {
        match video {
            Video::Vp8 => Self::Vp8,
            Video::H264 => Self::H264,
            Video::Vp9 => Self::Vp9,
            Video::Av1 => Self::Av1,
        }
    }
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if speed.is_finite() && speed >= 0.0 {
        Ok(speed)
    } else {
        Err("negative or not finite".to_owned())
    }
}

pub(super) fn run(args: ReplayArgs) -> Result<(), Failure> {
    args.mailbox.with(RunReplay(args))
}

struct RunReplay(ReplayArgs);

impl OnMailbox for RunReplay {
    type Output = Result<(), Failure>;

    fn run<M: Mailbox>(self) -> Self::Output {
        let args = self.0;
        let options = replay::ReplayConfig {
            receivers: args.receivers.into(),
            speed: args.speed,
            shards: args.shards.into(),
        };
        let bar = indicatif::ProgressBar::new(0);
        let progress = |done: usize, all: usize| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        };
        let report = match args.codec.filter(|_| args.through == Through::Webrtc) {
            Some(codec) => replay::webrtc::play::<M>(&args.file, codec.into(), options, progress),
            None => replay::play::<M>(&args.file, options, progress),
        }
        .map_err(|error| format!("{} {error}", args.file.display()))?;
        bar.finish_and_clear();
        if args.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            println!(
                "{} of {} packets ({} bytes) reached each of {} receivers unchanged in {:.1?}",
                report.delivered, report.packets, report.bytes, report.receivers, report.took
            );
        }
        report
            .difference
            .map_or(Ok(()), |difference| Err(difference.into()))
    }
}
