// The way to the server: whether anything arrives, and what to do when nothing does.

const LOOK = 300;
// Silence is three times as long as any pause of late, and at least this.
const SILENT = 1200;
// How long a restart of ICE may take.
const PATIENCE = 3000;

async function received(pc) {
  // The statistics of one stream and its transport: those of all streams would be a long list.
  const streams = pc.getTransceivers().map(({ currentDirection, sender, receiver }) => {
    if (currentDirection === "sendonly") return sender.track && sender;
    return currentDirection === "recvonly" && receiver;
  });
  const reports = await (streams.find(Boolean) || pc).getStats();
  let bytes = 0;
  for (const report of reports.values()) {
    if (report.type === "candidate-pair") bytes += (report.bytesReceived ?? 0) + (report.responsesReceived ?? 0);
    if (report.type === "transport") bytes += report.bytesReceived ?? 0;
  }
  return bytes;
}

// Calls `restart` when nothing arrives any more, again while that does not help, and `back` when something does. It returns
// whether the server has answered: if not, the server may go by other credentials than the page, which lets media arrive for a
// while, and ends the connection then. Returns how to restart at once, and how to stop.
export function watch(pc, { restart, back }) {
  let last = 0;
  let at = performance.now();
  let pauses = [];
  let restarted = null;
  let busy = false;
  let answered = true;
  const again = async () => {
    restarted = performance.now();
    answered = await restart();
  };
  const look = async () => {
    if (busy || pc.connectionState === "new" || pc.connectionState === "closed") return;
    busy = true;
    try {
      const now = performance.now();
      const bytes = await received(pc);
      if (bytes !== last) {
        pauses = [...pauses.slice(-9), now - at];
        [last, at] = [bytes, now];
        if (answered && restarted !== null && pc.connectionState === "connected") {
          restarted = null;
          pauses = [];
          back();
        }
        if (answered) return;
      }
      const silent = last > 0 && now - at > Math.max(SILENT, 3 * Math.max(...pauses, 0));
      if ((silent || !answered) && (restarted === null || now - restarted > PATIENCE)) {
        await again();
      }
    } catch {
      // The connection was closed meanwhile.
    } finally {
      busy = false;
    }
  };
  const timer = setInterval(look, LOOK);
  return { again, stop: () => clearInterval(timer) };
}

// New credentials for both ends. The request goes by HTTP, since the page's channel may be gone with the path. Returns the
// status of the server's answer, if there is one.
export async function restartIce(pc, resource) {
  if (pc.signalingState !== "stable") return null;
  pc.restartIce();
  await pc.setLocalDescription();
  const roll = () => pc.setLocalDescription({ type: "rollback" });
  const response = await fetch(`/api/restart/${resource}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ sdp: pc.localDescription.sdp }),
    // Where no network is, it would wait for longer than it takes to come back.
    signal: AbortSignal.timeout(PATIENCE),
  }).catch(() => null);
  if (!response?.ok) {
    await roll();
    return response?.status ?? null;
  }
  const { sdp } = await response.json();
  await pc.setRemoteDescription({ type: "answer", sdp });
  return response.status;
}

// Shows loss and frame rate of the last two seconds as bars.
export async function quality(tiles, counts) {
  for (const [key, shown] of [...tiles]) {
    const { receiver } = shown;
    if (!receiver || shown.root.hidden) continue;
    const stats = await receiver.getStats().catch(() => null);
    for (const report of stats?.values() ?? []) {
      if (report.type !== "inbound-rtp") continue;
      const before = counts.get(key) ?? { lost: 0, received: 0, frames: 0 };
      const lost = Math.max(0, report.packetsLost - before.lost);
      const received = report.packetsReceived - before.received;
      const frames = (report.framesDecoded ?? 0) - before.frames;
      counts.set(key, { lost: report.packetsLost, received: report.packetsReceived, frames: report.framesDecoded ?? 0 });
      const loss = lost / Math.max(1, lost + received);
      const level = received === 0 ? 0 : loss > 0.08 || frames < 8 ? 1 : loss > 0.02 || frames < 24 ? 2 : 3;
      shown.quality.dataset.level = level;
      shown.quality.setAttribute("aria-label", `Connection: ${["no packets", "poor", "fair", "good"][level]}`);
      shown.quality.title = `${Math.round(loss * 100)} % lost, ${Math.round(frames / 2)} frames per second, ${report.frameWidth ?? 0}×${report.frameHeight ?? 0}`;
    }
  }
}
