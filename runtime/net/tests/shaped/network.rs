//! Two network namespaces with a link between them, which is shaped, delayed, cut and made lossy.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// The addresses of the two ends.
pub(crate) const NEAR: &str = "10.213.7.1";
pub(crate) const FAR: &str = "10.213.7.2";

/// Two namespaces of this test alone. They are gone when it is dropped.
pub(crate) struct Network {
    near: String,
    far: String,
    device: &'static str,
    /// Of a link with a delay.
    relay: Option<Child>,
}

fn run(command: &str) -> Result<(), String> {
    let mut words = command.split_whitespace();
    let program = words.next().ok_or("no command")?;
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{command}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

impl Network {
    /// Makes a link of this many Mbit/s in each direction, whose queues hold 50 ms, with this round trip.
    ///
    /// An error where namespaces cannot be made.
    pub(crate) fn new(megabits: u32, round_trip_ms: u32) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // ORDERING: only the uniqueness of the number matters.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |end: &str| format!("lanemesh-{}-{number}-{end}", std::process::id());
        let (near, far) = (name("near"), name("far"));
        run("iptables --version")?;
        run(&format!("ip netns add {near}"))?;
        let mut network = Self {
            near,
            far,
            device: if round_trip_ms == 0 { "veth0" } else { "tun0" },
            relay: None,
        };
        run(&format!("ip netns add {}", network.far))?;
        let Self {
            near, far, device, ..
        } = &network;
        if round_trip_ms == 0 {
            run(&format!(
                "ip link add {device} netns {near} type veth peer name {device} netns {far}"
            ))?;
        }
        for (namespace, address) in [(near, NEAR), (far, FAR)] {
            if round_trip_ms > 0 {
                run(&format!("ip -n {namespace} tuntap add {device} mode tun"))?;
            }
            run(&format!(
                "ip -n {namespace} addr add {address}/30 dev {device}"
            ))?;
            run(&format!("ip -n {namespace} link set {device} up"))?;
            run(&format!("ip -n {namespace} link set lo up"))?;
            run(&format!(
                "ip netns exec {namespace} tc qdisc add dev {device} root tbf rate {megabits}mbit burst 16kb latency 50ms"
            ))?;
        }
        if round_trip_ms > 0 {
            let one_way = f64::from(round_trip_ms) / 2.0;
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/delay");
            let relay = Command::new("python3")
                .args([script, near, device, far, device, &one_way.to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn();
            let mut relay = relay.map_err(|error| format!("{script}: {error}"))?;
            let mut line = String::new();
            let output = relay.stdout.take().map(BufReader::new);
            let read = output.map(|mut output| output.read_line(&mut line));
            network.relay = Some(relay);
            if line != "ready\n" {
                return Err(format!("{script} does not start: {read:?}"));
            }
        }
        Ok(network)
    }

    /// A command that runs in the near or in the far namespace.
    pub(crate) fn command(&self, is_far: bool, program: &str) -> Command {
        let mut command = Command::new("ip");
        let namespace = if is_far { &self.far } else { &self.near };
        command.args(["netns", "exec", namespace, program]);
        command
    }

    /// Loses this part of the packets that arrive at either end.
    pub(crate) fn lose(&self, part: f64) {
        for namespace in [&self.near, &self.far] {
            run(&format!(
                "ip netns exec {namespace} iptables -A INPUT -m statistic --mode random --probability {part} -j DROP"
            ))
            .unwrap();
        }
    }

    /// Takes the link down, or up again.
    pub(crate) fn set_up(&self, is_up: bool) {
        let (namespace, device) = (&self.near, self.device);
        let state = if is_up { "up" } else { "down" };
        run(&format!("ip -n {namespace} link set {device} {state}")).unwrap();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(mut relay) = self.relay.take() {
            drop(relay.stdin.take()); // which ends it
            let _ = relay.wait();
        }
        for namespace in [&self.near, &self.far] {
            let _ = run(&format!("ip netns del {namespace}"));
        }
    }
}
