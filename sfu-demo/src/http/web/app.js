// The page: joins a room over one RTCPeerConnection, and exchanges JSON with the server on its data channel.
import { openPanel, closePanel } from "/panel.js";

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const token = query.get("token") ?? undefined;
// Statistics are for operators: with a token of their own, or a room token that says so.
const operator = query.get("operator") ?? (isOperator(token) ? token : undefined);
// By this secret the server knows the page when it connects again, and ends its earlier session at once. It is not
// kept in storage, which a duplicated tab would share.
const identity = Array.from(crypto.getRandomValues(new Uint32Array(4))).join("-");

const state = {
  pc: null, channel: null, id: null, room: "", name: "", source: "camera",
  local: null, screen: null, tiles: new Map(), roster: new Map(), carried: new Map(),
  speaker: null, counts: new Map(), timer: null, leaving: false, queue: Promise.resolve(),
};
// For the developer console and the tests.
window.sfu = state;

const problems = {
  NotAllowedError: "The browser was not allowed to use the camera or microphone. Allow it in the address bar, or join with the test picture.",
  NotFoundError: "No camera or microphone was found. Join with the test picture instead.",
  NotReadableError: "The camera or microphone is in use by another program.",
  OverconstrainedError: "The camera does not support the requested format.",
};

function isOperator(jwt) {
  try {
    return JSON.parse(atob(jwt.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).operator === true;
  } catch {
    return false;
  }
}

function status(text) { $("status").textContent = text; }

function problem(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

function pathRoom() {
  const match = location.pathname.match(/^\/r\/([A-Za-z0-9_-]{1,64})$/);
  return match ? match[1] : null;
}

function invent() {
  const bytes = crypto.getRandomValues(new Uint8Array(5));
  return [...bytes].map((b) => "abcdefghijkmnpqrstuvwxyz23456789"[b % 32]).join("");
}

$("room").value = pathRoom() ?? query.get("room") ?? invent();
$("name").value = query.get("name") ?? "";
if (query.get("source")) {
  const radio = document.querySelector(`input[name=source][value="${CSS.escape(query.get("source"))}"]`);
  if (radio) radio.checked = true;
}

$("join").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter ?? $("join").querySelector("button");
  button.disabled = true;
  problem("");
  try {
    await join(new FormData($("join")));
  } catch (error) {
    problem(problems[error.name] ?? error.message ?? String(error));
    status("");
    await leave(false);
  }
  button.disabled = false;
});

// A moving picture and a quiet tone, for machines without a camera.
function synthetic(name) {
  const canvas = document.createElement("canvas");
  canvas.width = 640; canvas.height = 360;
  const context = canvas.getContext("2d");
  const hue = [...name].reduce((sum, c) => sum + c.charCodeAt(0) * 37, 0) % 360;
  let frame = 0;
  const draw = () => {
    frame += 1;
    context.fillStyle = `hsl(${(hue + frame / 2) % 360} 45% 40%)`;
    context.fillRect(0, 0, 640, 360);
    context.fillStyle = "rgb(255 255 255 / .85)";
    context.beginPath();
    context.arc(320 + 220 * Math.cos(frame / 30), 180 + 110 * Math.sin(frame / 22), 40, 0, 7);
    context.fill();
    context.font = "600 44px system-ui, sans-serif";
    context.fillText(name, 28, 64);
    context.font = "24px ui-monospace, monospace";
    context.fillText(String(frame).padStart(6, "0"), 28, 332);
  };
  draw();
  const timer = setInterval(draw, 40);
  const audio = new AudioContext();
  const tone = audio.createOscillator();
  const gain = audio.createGain();
  const out = audio.createMediaStreamDestination();
  tone.frequency.value = 220 + hue;
  gain.gain.value = 0.08;
  tone.connect(gain).connect(out);
  tone.start();
  const stream = canvas.captureStream(25);
  for (const track of out.stream.getAudioTracks()) stream.addTrack(track);
  stream.stop = () => { clearInterval(timer); audio.close(); };
  return stream;
}

async function capture(source, name) {
  if (source === "none") return new MediaStream();
  if (source === "synthetic") return synthetic(name);
  if (!navigator.mediaDevices) {
    throw new Error("Browsers allow the camera only on https pages and on this machine. Join with the test picture instead.");
  }
  return navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: true, noiseSuppression: true },
    video: { width: { ideal: 1280 }, height: { ideal: 720 } },
  });
}

const LAYERS = [
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: "f", maxBitrate: 1_500_000 },
];

async function join(form) {
  state.name = form.get("name").trim();
  state.room = form.get("room").trim();
  state.source = form.get("source");
  state.leaving = false;
  status("Asking for camera and microphone…");
  state.local = await capture(state.source, state.name);

  status("Connecting…");
  const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  state.pc = pc;
  state.channel = pc.createDataChannel("control");
  state.channel.onclose = () => {
    if (pc !== state.pc || state.leaving) return;
    problem("The server has ended the call. Join again in a moment.");
    status("Disconnected");
    leave(false);
  };
  state.channel.onmessage = (event) => {
    const message = JSON.parse(event.data);
    // In order: an offer must be answered before the next message is handled.
    state.queue = state.queue.then(() => handle(message)).catch((error) => console.error(error));
  };
  pc.onconnectionstatechange = () => connection(pc);
  for (const track of state.local.getAudioTracks()) {
    pc.addTransceiver(track, { direction: "sendonly", streams: [state.local] });
  }
  for (const track of state.local.getVideoTracks()) {
    const video = pc.addTransceiver(track, {
      direction: "sendonly", streams: [state.local], sendEncodings: LAYERS,
    });
    prefer(video, query.get("codec"));
  }
  await pc.setLocalDescription();
  const response = await fetch(`/api/rooms/${encodeURIComponent(state.room)}/join`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: state.name, sdp: pc.localDescription.sdp, token, identity }),
  }).catch(() => { throw new Error("The server is not reachable."); });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(`The server refused: ${answer.error ?? response.status}.`);
  state.id = answer.id;
  state.resource = answer.resource;
  await pc.setRemoteDescription({ type: "answer", sdp: answer.sdp });

  history.replaceState(null, "", `/r/${state.room}${location.search}`);
  $("title").textContent = state.room;
  $("join").hidden = true;
  $("call").hidden = false;
  $("controls").hidden = false;
  const mine = tile(`me`, state.name, "camera", true);
  mine.video.muted = true;
  mine.video.srcObject = state.local;
  mine.root.classList.toggle("mirror", state.source === "camera");
  mine.root.classList.toggle("dark", state.local.getVideoTracks().length === 0);
  $("mic").disabled = state.local.getAudioTracks().length === 0;
  $("cam").disabled = state.local.getVideoTracks().length === 0;
  layout();
  $("main").focus();
  state.timer = setInterval(quality, 2000);
}

function prefer(transceiver, codec) {
  if (!codec || !transceiver.setCodecPreferences) return;
  const all = RTCRtpReceiver.getCapabilities("video").codecs;
  const first = all.filter((c) => c.mimeType.toLowerCase() === `video/${codec.toLowerCase()}`);
  if (first.length) transceiver.setCodecPreferences([...first, ...all.filter((c) => !first.includes(c))]);
}

function connection(pc) {
  if (pc !== state.pc) return;
  switch (pc.connectionState) {
    case "connected":
      if (!state.roster.size) status("Connected");
      problem("");
      break;
    case "disconnected": status("Connection interrupted, trying again…"); break;
    case "failed":
      problem("The connection failed. A firewall may block media over UDP and TCP. Try another network, then join again.");
      leave(false);
      break;
    case "closed": if (!state.leaving) status("Disconnected"); break;
    default: break;
  }
}

function send(message) {
  if (state.channel?.readyState === "open") state.channel.send(JSON.stringify(message));
}

async function handle(message) {
  switch (message.type) {
    case "offer": return offered(message);
    case "answer": return state.pc.setRemoteDescription({ type: "answer", sdp: message.sdp });
    // What each section carries, after an offer and whenever that changes.
    case "tracks": return show(message.tracks);
    case "refused":
      if (state.pc.signalingState === "have-local-offer") await state.pc.setLocalDescription({ type: "rollback" });
      return problem(`The server refused the change: ${message.error}.`);
    case "roster": return roster(message);
    case "muted": {
      const person = state.roster.get(String(message.id));
      if (person) {
        person.muted = message.muted;
        mutes(String(message.id), person);
      }
      return undefined;
    }
    case "speaker": state.speaker = message.id; return speaking();
    case "chat": return said(message);
    case "paused": {
      const shown = [...state.tiles.values()].find((t) => t.track === message.track);
      shown?.root.classList.toggle("paused", message.paused);
      return undefined;
    }
    case "layer": {
      const shown = [...state.tiles.values()].find((t) => t.track === message.track);
      if (shown) {
        const size = ["small", "medium", "large"][message.layer];
        shown.size.options[0].textContent = size ? `Auto: ${size}` : "Auto";
      }
      return undefined;
    }
    default: return undefined;
  }
}

async function offered(message) {
  // Our own offer is on its way: the server answers it first, then offers again.
  if (state.pc.signalingState !== "stable") return;
  await state.pc.setRemoteDescription({ type: "offer", sdp: message.sdp });
  await state.pc.setLocalDescription();
  send({ type: "answer", sdp: state.pc.localDescription.sdp });
}

function show(tracks) {
  const wanted = new Set();
  for (const carried of tracks) {
    const transceiver = state.pc.getTransceivers().find((t) => t.mid === carried.mid);
    if (!transceiver) continue;
    const key = carried.source === "screen" ? `${carried.participant}-screen` : `${carried.participant}`;
    wanted.add(key);
    const name = carried.source === "screen" ? `${carried.name}'s screen` : carried.name;
    const shown = tile(key, name, carried.source, false);
    const media = transceiver.receiver.track;
    if (!shown.stream.getTracks().includes(media)) {
      // The section may have carried another track before.
      for (const other of state.tiles.values()) {
        if (other.stream.getTracks().includes(media)) release(other, media);
      }
      for (const old of shown.stream.getTracks()) {
        if (old.kind === media.kind) shown.stream.removeTrack(old);
      }
      shown.stream.addTrack(media);
    }
    if (media.kind === "video") {
      shown.track = carried.track;
      shown.receiver = transceiver.receiver;
      shown.size.parentElement.hidden = carried.source !== "camera";
    }
    shown.root.classList.toggle("dark", !shown.stream.getVideoTracks().length);
    shown.video.srcObject ??= shown.stream;
    shown.video.play().catch(() => problem("The browser plays sound only after a click on the page."));
  }
  state.carried = wanted;
  // Who is not carried any more has no picture or sound here: others are more important.
  const used = new Set(tracks.map((carried) => carried.mid));
  for (const transceiver of state.pc.getTransceivers()) {
    const media = transceiver.receiver.track;
    if (used.has(transceiver.mid)) continue;
    for (const shown of state.tiles.values()) {
      if (shown !== state.tiles.get("me") && shown.stream.getTracks().includes(media)) release(shown, media);
    }
  }
  prune();
}

function release(shown, media) {
  shown.stream.removeTrack(media);
  if (media.kind !== "video") return;
  Object.assign(shown, { track: null, receiver: null });
  shown.root.classList.remove("paused");
  shown.root.classList.add("dark");
}

function roster(message) {
  state.roster = new Map(message.participants.map((p) => [String(p.id), p]));
  for (const [id, person] of state.roster) {
    mutes(id, person);
  }
  prune();
  const others = state.roster.size - 1;
  const watching = message.watching ? `, ${message.watching} watching` : "";
  status(others > 0 ? `${others + 1} people here${watching}` : `Nobody else is here yet${watching}. Share the link.`);
}

function mutes(id, person) {
  if (id === String(state.id)) return;
  const shown = tile(id, person.name, "camera", false);
  shown.muted.hidden = !person.muted.includes("microphone");
  const noVideo = !shown.stream.getVideoTracks().length || person.muted.includes("camera");
  shown.root.classList.toggle("dark", noVideo);
}

function prune() {
  for (const [key, shown] of state.tiles) {
    const mine = key === "me" || key === "me-screen";
    const here = state.roster.has(key) || state.carried.has(key);
    const gone = key.endsWith("-screen") ? !state.carried.has(key) : !here || (state.roster.size && !state.roster.has(key) && !state.carried.has(key));
    if (!mine && gone) { shown.root.remove(); state.tiles.delete(key); }
  }
  layout();
}

function tile(key, name, source, mine) {
  let shown = state.tiles.get(key);
  if (!shown) {
    const root = $("tile").content.firstElementChild.cloneNode(true);
    shown = {
      root, video: root.querySelector("video"), muted: root.querySelector(".muted"),
      quality: root.querySelector(".quality"), size: root.querySelector("select"),
      stream: new MediaStream(), track: null, receiver: null,
    };
    root.dataset.key = key;
    root.classList.toggle("mine", mine);
    root.classList.toggle("screen", source === "screen");
    root.classList.toggle("dark", !mine);
    shown.size.addEventListener("change", (event) => {
      const value = event.target.value;
      if (shown.track) send({ type: "layer", track: shown.track, layer: value === "" ? null : Number(value) });
    });
    state.tiles.set(key, shown);
    $("grid").append(root);
  }
  shown.root.querySelector(".who").textContent = mine ? `${name} (you)` : name;
  shown.root.setAttribute("aria-label", mine ? `${name}, you` : name);
  shown.root.querySelector(".avatar").textContent = (name.trim()[0] ?? "?").toUpperCase();
  shown.size.setAttribute("aria-label", `Picture size of ${name}`);
  return shown;
}

// Chooses the number of columns that makes the tiles largest.
function layout() {
  const grid = $("grid");
  const count = state.tiles.size;
  const { clientWidth: width, clientHeight: height } = grid;
  if (!count || !width) return;
  const aspect = width < height ? 4 / 3 : 16 / 9;
  const gap = parseFloat(getComputedStyle(grid).columnGap) || 0;
  let best = 0;
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const across = (width - gap * (columns - 1)) / columns;
    const down = (height - gap * (rows - 1)) / rows;
    best = Math.max(best, Math.min(across, down * aspect));
  }
  const least = Math.min(150, (width - gap) / 2);
  const tileWidth = Math.floor(Math.max(best, least));
  grid.style.setProperty("--tile-width", `${tileWidth}px`);
  grid.style.setProperty("--tile-height", `${Math.floor(tileWidth / aspect)}px`);
}
new ResizeObserver(layout).observe($("grid"));

function speaking() {
  for (const [key, shown] of state.tiles) {
    const id = key === "me" ? String(state.id) : key;
    shown.root.classList.toggle("speaking", id === String(state.speaker));
  }
}

function said(message) {
  const line = document.createElement("li");
  const who = document.createElement("b");
  who.textContent = `${message.name}: `;
  line.append(who, message.text);
  $("messages").append(line);
  line.scrollIntoView({ block: "nearest" });
  if ($("side").hidden) $("chat-toggle").querySelector(".label").textContent = "Chat •";
}

// Shows loss and frame rate of the last two seconds as bars.
async function quality() {
  for (const [key, shown] of state.tiles) {
    if (!shown.receiver) continue;
    const stats = await shown.receiver.getStats().catch(() => null);
    if (!stats) continue;
    for (const report of stats.values()) {
      if (report.type !== "inbound-rtp") continue;
      const before = state.counts.get(key) ?? { lost: 0, received: 0, frames: 0 };
      const lost = Math.max(0, report.packetsLost - before.lost);
      const received = report.packetsReceived - before.received;
      const frames = (report.framesDecoded ?? 0) - before.frames;
      state.counts.set(key, { lost: report.packetsLost, received: report.packetsReceived, frames: report.framesDecoded ?? 0 });
      const loss = lost / Math.max(1, lost + received);
      const level = received === 0 ? 0 : loss > 0.08 || frames < 8 ? 1 : loss > 0.02 || frames < 24 ? 2 : 3;
      shown.quality.dataset.level = level;
      shown.quality.setAttribute("aria-label", `Connection: ${["no packets", "poor", "fair", "good"][level]}`);
      shown.quality.title = `${Math.round(loss * 100)} % lost, ${Math.round(frames / 2)} frames per second, ${report.frameWidth ?? 0}×${report.frameHeight ?? 0}`;
    }
  }
}

function toggle(kind, button, on, off, source) {
  const tracks = kind === "audio" ? state.local.getAudioTracks() : state.local.getVideoTracks();
  const muted = button.getAttribute("aria-pressed") !== "true";
  for (const track of tracks) track.enabled = !muted;
  button.setAttribute("aria-pressed", String(muted));
  button.querySelector(".label").textContent = muted ? off : on;
  send({ type: "mute", source, muted });
  const mine = state.tiles.get("me");
  if (source === "camera") mine.root.classList.toggle("dark", muted);
  else mine.muted.hidden = !muted;
}

$("mic").addEventListener("click", () => toggle("audio", $("mic"), "Mute", "Unmute", "microphone"));
$("cam").addEventListener("click", () => toggle("video", $("cam"), "Stop video", "Start video", "camera"));

async function negotiate(sources) {
  state.queue = state.queue.then(async () => {
    if (state.pc.signalingState !== "stable") return;
    await state.pc.setLocalDescription();
    send({ type: "offer", sdp: state.pc.localDescription.sdp, sources: sources() });
  });
  await state.queue;
}

async function startScreen() {
  const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 15 } });
  const track = stream.getVideoTracks()[0];
  const idle = state.pc.getTransceivers().find((t) => t === state.screenTransceiver);
  if (idle) {
    await idle.sender.replaceTrack(track);
    idle.direction = "sendonly";
  } else {
    state.screenTransceiver = state.pc.addTransceiver(track, { direction: "sendonly", streams: [stream] });
  }
  state.screen = stream;
  track.onended = stopScreen;
  await negotiate(() => [{ mid: state.screenTransceiver.mid, source: "screen" }]);
  const mine = tile("me-screen", "Your screen", "screen", true);
  mine.video.muted = true;
  mine.video.srcObject = stream;
  $("screen").setAttribute("aria-pressed", "true");
  $("screen").querySelector(".label").textContent = "Stop sharing";
  layout();
}

async function stopScreen() {
  if (!state.screen) return;
  for (const track of state.screen.getTracks()) track.stop();
  state.screen = null;
  state.screenTransceiver.direction = "inactive";
  await state.screenTransceiver.sender.replaceTrack(null);
  state.tiles.get("me-screen")?.root.remove();
  state.tiles.delete("me-screen");
  $("screen").setAttribute("aria-pressed", "false");
  $("screen").querySelector(".label").textContent = "Share screen";
  layout();
  await negotiate(() => []);
}

$("screen").hidden = !navigator.mediaDevices?.getDisplayMedia;
$("screen").addEventListener("click", async () => {
  try {
    await (state.screen ? stopScreen() : startScreen());
  } catch (error) {
    if (error.name !== "NotAllowedError") problem(`The screen cannot be shared: ${error.message}`);
  }
});

$("chat-toggle").addEventListener("click", () => {
  const open = $("side").hidden;
  $("side").hidden = !open;
  $("chat-toggle").setAttribute("aria-expanded", String(open));
  $("chat-toggle").querySelector(".label").textContent = "Chat";
  if (open) $("text").focus();
});

$("chat").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text) send({ type: "chat", text });
  $("text").value = "";
});

$("share").addEventListener("click", async () => {
  const link = `${location.origin}/r/${state.room}`;
  try {
    await navigator.clipboard.writeText(link);
    status("Link copied");
  } catch {
    status(link);
  }
});

$("panel-toggle").hidden = !operator;
$("panel-toggle").addEventListener("click", () => {
  const open = $("panel").hidden;
  $("panel").hidden = !open;
  $("panel-toggle").setAttribute("aria-expanded", String(open));
  if (open) openPanel(operator); else closePanel();
});

async function leave(told) {
  state.leaving = true;
  if (told) send({ type: "leave" });
  clearInterval(state.timer);
  state.pc?.close();
  for (const stream of [state.local, state.screen]) {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream?.stop?.();
  }
  Object.assign(state, { pc: null, channel: null, id: null, local: null, screen: null, screenTransceiver: null, speaker: null });
  state.tiles.clear();
  state.roster.clear();
  state.carried.clear();
  state.counts.clear();
  $("grid").replaceChildren();
  $("call").hidden = true;
  $("controls").hidden = true;
  $("panel").hidden = true;
  $("panel-toggle").setAttribute("aria-expanded", "false");
  closePanel();
  $("join").hidden = false;
  $("title").textContent = "lanemesh rooms";
  for (const id of ["mic", "cam", "screen"]) $(id).setAttribute("aria-pressed", "false");
  $("mic").querySelector(".label").textContent = "Mute";
  $("cam").querySelector(".label").textContent = "Stop video";
  $("screen").querySelector(".label").textContent = "Share screen";
}

$("leave").addEventListener("click", async () => {
  await leave(true);
  status("You left the room");
  $("name").focus();
});
addEventListener("pagehide", () => {
  if (state.pc) navigator.sendBeacon(`/api/leave/${state.resource}`);
});
