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

// Calls `restart` when nothing arrives any more, again while that does not help, and `back` when something does.
export function watch(pc, { restart, back }) {
  let last = 0;
  let at = performance.now();
  let pauses = [];
  let restarted = null;
  let busy = false;
  const look = async () => {
    if (busy || pc.connectionState === "new" || pc.connectionState === "closed") return;
    busy = true;
    try {
      const now = performance.now();
      const bytes = await received(pc);
      if (bytes !== last) {
        pauses = [...pauses.slice(-9), now - at];
        [last, at] = [bytes, now];
        if (restarted !== null && pc.connectionState === "connected") {
          restarted = null;
          pauses = [];
          back();
        }
        return;
      }
      const silent = last > 0 && now - at > Math.max(SILENT, 3 * Math.max(...pauses, 0));
      if (silent && (restarted === null || now - restarted > PATIENCE)) {
        restarted = now;
        await restart();
      }
    } catch {
      // The connection was closed meanwhile.
    } finally {
      busy = false;
    }
  };
  const timer = setInterval(look, LOOK);
  return () => clearInterval(timer);
}

// New credentials for both ends. The request goes by HTTP, since the page's channel may be gone with the path. Returns
// whether the server still has the session.
export async function restartIce(pc, resource) {
  if (pc.signalingState !== "stable") return true;
  pc.restartIce();
  await pc.setLocalDescription();
  const roll = () => pc.setLocalDescription({ type: "rollback" });
  const response = await fetch(`/api/restart/${resource}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ sdp: pc.localDescription.sdp }),
  }).catch(() => null);
  if (!response?.ok) {
    await roll();
    return response?.status !== 404;
  }
  const { sdp } = await response.json();
  await pc.setRemoteDescription({ type: "answer", sdp });
  return true;
}
