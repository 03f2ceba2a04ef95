// The page: joins a room over one RTCPeerConnection, and exchanges JSON with the server.
import { access, address, askForLink, copyLink, operator, room, takeLink } from "/access.js";
import { capture, encodings, endPreview, showPreview, stop } from "/devices.js";
import { forget, onChat, said } from "/chat.js";
import { quality, restartIce, watch } from "/link.js";
import { Signal } from "/signal.js";
import { closePanel, openPanel } from "/panel.js";
import { clear, darken, layout, note, onPin, remove, tellPin, tile, tiles } from "/tiles.js";
import { ENDS, explain, missing, pause, refusal } from "/words.js";

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
// By this secret the server knows the page when it connects again, and ends its earlier session at once. It is not
// kept in storage, which a duplicated tab would share.
const identity = Array.from(crypto.getRandomValues(new Uint32Array(4))).join("-");
// Tiles that are changed before the browser may do something else.
const SLICE = 4;
// How long to wait before each attempt to join again, in seconds.
const ATTEMPTS = [0, 1, 2, 4, 8];
// How long the server may take to answer, in milliseconds.
const ANSWER = 15_000;
// How long it is said that something was done, in milliseconds.
const BRIEF = 4000;

const state = {
  pc: null, signal: null, sources: [], id: null, resource: null, room: "", name: "", source: "camera",
  local: null, screen: null, tiles, roster: new Map(), carried: new Map(), muted: new Map(),
  speaker: null, changed: false, counts: new Map(), timer: null, watch: null, leaving: false, rejoining: false,
  // Counts the times that the user has left. Why the session ended while the page was still joining.
  left: 0, over: null,
  attempts: ATTEMPTS, queue: Promise.resolve(),
};
// For the developer console and the tests.
window.sfu = state;

function status(text) { $("status").textContent = text; }

// Says what is wrong, and gives a way on: a button with the words `way`, which has the focus.
function problem(text, way, act) {
  $("problem-text").textContent = text;
  $("problem").hidden = !text;
  $("way").hidden = !way;
  $("way").textContent = way ?? "";
  $("way").onclick = act ?? null;
  if (text && way) $("way").focus();
}

$("room").value = room();
$("name").value = query.get("name") ?? "";
if (query.get("source")) {
  const radio = document.querySelector(`input[name=source][value="${CSS.escape(query.get("source"))}"]`);
  if (radio) radio.checked = true;
}

const previewFailed = (error) => problem(explain(error), "Try again", () => {
  problem("");
  showPreview(true, previewFailed);
});
for (const input of document.querySelectorAll("input[name=source], #camera, #microphone")) {
  input.addEventListener("change", () => {
    problem("");
    showPreview(false, previewFailed);
  });
}
$("check").addEventListener("click", () => showPreview(true, previewFailed));
showPreview(false, previewFailed);

$("join").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = $("join").querySelector(".primary");
  button.disabled = true;
  problem("");
  takeLink();
  try {
    await join(new FormData($("join")));
  } catch (error) {
    status("");
    await leave(false);
    refused(error, explain(error), "Try again");
  }
  button.disabled = false;
});

// The page is not let in, or not any more. Where the server wants another token, trying again would change nothing.
function refused(error, text, way) {
  if (![401, 403].includes(error.status)) return problem(text, way, () => $("join").requestSubmit());
  problem(text);
  return askForLink();
}

async function join(form) {
  state.name = form.get("name").trim();
  const named = form.get("room").trim();
  if (named !== state.room) forget();
  state.room = named;
  state.source = form.get("source");
  state.leaving = false;
  state.muted.clear();
  if (state.source === "camera" || state.source === "audio") status("Asking for camera and microphone…");
  state.local = await capture(state.name);
  status("Connecting…");
  await pause();
  await connect();
  await pause();

  endPreview();
  history.replaceState(null, "", address(state.room));
  $("invitation").hidden = true;
  $("title").textContent = state.room;
  $("join").hidden = true;
  $("call").hidden = false;
  $("controls").hidden = false;
  document.body.classList.add("in-call");
  await pause();
  showMine();
  const camera = state.local.getVideoTracks().length > 0;
  $("mic").disabled = state.local.getAudioTracks().length === 0;
  $("cam").disabled = !camera;
  layout();
  $("main").focus();
  state.timer = setInterval(() => quality(tiles, state.counts), 2000);
  showPanelButton();
  if (state.over) lost(state.pc, state.over);
}

// Opens a connection for the media that there are, and joins with it.
async function connect() {
  const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  state.pc = pc;
  state.over = null;
  await pause();
  const channel = pc.createDataChannel("control");
  pc.onconnectionstatechange = () => connection(pc);
  for (const track of state.local.getAudioTracks()) {
    pc.addTransceiver(track, { direction: "sendonly", streams: [state.local] });
  }
  for (const track of state.local.getVideoTracks()) {
    const video = pc.addTransceiver(track, {
      direction: "sendonly", streams: [state.local], sendEncodings: encodings(track),
    });
    prefer(video, query.get("codec"));
  }
  await pause();
  await pc.setLocalDescription();
  const response = await fetch(`/api/rooms/${encodeURIComponent(state.room)}/join`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: state.name, sdp: pc.localDescription.sdp, token: access.token, identity }),
    signal: AbortSignal.timeout(ANSWER),
  }).catch(() => { throw new Error("The server is not reachable."); });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    const why = answer.error ?? `error ${response.status}`;
    throw Object.assign(new Error(refusal(response.status, why)), { status: response.status });
  }
  if (pc !== state.pc) {
    navigator.sendBeacon(`/api/leave/${answer.resource}`);
    throw new Error("The user has left.");
  }
  state.id = answer.id;
  state.resource = answer.resource;
  await pc.setRemoteDescription({ type: "answer", sdp: answer.sdp });
  state.signal = new Signal(answer.resource, channel, {
    open: () => {
      // The server says anew what is missing.
      for (const shown of tiles.values()) note(shown, null);
      tellPin();
      for (const [source, muted] of state.muted) if (muted) send({ type: "mute", source, muted });
      // The answer to our last offer may be lost.
      if (pc.signalingState === "have-local-offer") offerAgain(pc);
    },
    // In order: an offer must be answered before the next message is handled.
    message: (message) => { enqueue(() => (pc === state.pc ? handle(message) : undefined)); },
    over: (why) => lost(pc, why),
  });
  state.watch?.stop();
  state.watch = watch(pc, { restart: () => restart(pc), back: () => here() });
}

function offerAgain(pc) {
  send({ type: "offer", sdp: pc.localDescription.sdp, sources: state.sources });
}

function enqueue(job) {
  state.queue = state.queue.then(job).catch((error) => console.error(error));
  return state.queue;
}

// Nothing arrives any more: the way to the server is looked for again, by TCP too. Returns whether the server has answered.
async function restart(pc) {
  if (pc !== state.pc || state.leaving) return true;
  status(navigator.onLine ? "Connection interrupted. Reconnecting…" : "You are offline. Waiting for the network…");
  let answer = null;
  await enqueue(async () => {
    if (pc === state.pc) answer = await restartIce(pc, state.resource);
    if (answer === 404) lost(pc, "lost");
  });
  return answer !== null && answer !== 429 && answer < 500;
}

// Another page of the same participant has taken this one's place. Joining again would end that one.
async function replaced() {
  await leave(false);
  status("Disconnected");
  problem("You have joined this room from somewhere else, so this page has left it.", "Join here instead", () => $("join").requestSubmit());
}

// The session is over, without anybody having left: the page joins again.
async function lost(pc, end) {
  if (pc !== state.pc || state.leaving) return;
  if (state.rejoining || $("call").hidden) {
    // The page is still joining, and looks at this when it has.
    state.over = end;
    return;
  }
  if (end === "replaced") return replaced();
  const [why, final = why] = ENDS[end];
  const { left } = state;
  state.rejoining = true;
  let last = new Error(why);
  for (const [at, seconds] of state.attempts.entries()) {
    status(`${why} Joining again${at ? `, attempt ${at + 1} of ${state.attempts.length}` : ""}…`);
    await new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });
    if (left !== state.left) return;
    drop();
    try {
      await connect();
      if (state.screen) await addScreen(state.screen);
      if (left !== state.left) return;
      state.rejoining = false;
      if (state.over) lost(state.pc, state.over);
      return;
    } catch (error) {
      if (left !== state.left) return;
      last = error;
      // A token that is not valid, or an offer that is refused, will be so again.
      if ([400, 401, 403, 422].includes(error.status)) break;
    }
  }
  await leave(false);
  status("Disconnected");
  refused(last, `${final} ${last.message === why ? "" : last.message}`.trim(), "Join again");
}

// Forgets what belonged to the last connection.
function drop() {
  state.watch?.stop();
  state.signal?.close();
  state.pc?.close();
  Object.assign(state, { pc: null, signal: null, screenTransceiver: null, queue: Promise.resolve() });
  state.roster.clear();
  state.carried.clear();
  state.counts.clear();
  for (const [key, shown] of tiles) if (!shown.mine) remove(key);
}

function showMine() {
  const mine = tile("me", state.name, "camera", true);
  mine.video.muted = true;
  mine.video.srcObject = state.local;
  mine.root.classList.toggle("mirror", state.source === "camera");
  darken(mine, state.local.getVideoTracks().length === 0);
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
      here();
      problem("");
      break;
    case "failed":
      lost(pc, state.roster.size ? "failed" : "blocked");
      break;
    default: break;
  }
}

function send(message) {
  state.signal?.send(message);
}

const byTrack = (track) => [...tiles.values()].find((t) => t.track === track);

async function handle(message) {
  switch (message.type) {
    case "offer": return offered(message);
    case "answer":
      await state.pc.setRemoteDescription({ type: "answer", sdp: message.sdp });
      if (state.changed) negotiate();
      return undefined;
    // What each section carries, after an offer and whenever that changes.
    case "tracks": return show(message.tracks);
    case "refused":
      if (state.pc.signalingState === "have-local-offer") await state.pc.setLocalDescription({ type: "rollback" });
      if (state.changed) negotiate();
      return problem(`The server refused the change: ${message.error}.`, "Close", () => problem(""));
    case "roster": return roster(message);
    case "people": return people(message);
    case "muted": {
      const person = state.roster.get(String(message.id));
      if (person) {
        person.muted = message.muted;
        mutes(String(message.id), person);
      }
      return undefined;
    }
    case "speaker": state.speaker = message.id; return speaking();
    case "chat": case "unsaid": return said(message);
    case "paused": case "codec": {
      const shown = byTrack(message.track);
      const why = message.missing ? () => missing(shown, message) : () => (message.paused ? "paused" : null);
      if (shown) note(shown, why());
      return undefined;
    }
    case "layer": {
      const shown = byTrack(message.track);
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

function choose(shown, value) {
  if (shown.track) send({ type: "layer", track: shown.track, layer: value === "" ? null : Number(value) });
}

// The server sends a pinned picture in any case, as soon as there is one.
onPin((people) => send({ type: "pin", people }));

async function show(tracks) {
  const { pc } = state;
  const wanted = new Set();
  const transceivers = new Map(state.pc.getTransceivers().map((t) => [t.mid, t]));
  const holders = new Map();
  for (const shown of tiles.values()) for (const media of shown.stream.getTracks()) holders.set(media, shown);
  for (const [at, carried] of tracks.entries()) {
    if (at % SLICE === SLICE - 1) await pause();
    if (pc !== state.pc) return;
    const transceiver = transceivers.get(carried.mid);
    if (!transceiver) continue;
    const screen = carried.source === "screen";
    const key = screen ? `${carried.participant}-screen` : `${carried.participant}`;
    wanted.add(key);
    const name = screen ? `${carried.name}'s screen` : carried.name;
    const shown = tile(key, name, carried.source, false, carried.person, choose);
    const media = transceiver.receiver.track;
    const holder = holders.get(media);
    if (holder !== shown) {
      // The section may have carried another track before.
      if (holder) release(holder, media);
      for (const old of shown.stream.getTracks()) {
        if (old.kind === media.kind) shown.stream.removeTrack(old);
      }
      shown.stream.addTrack(media);
    }
    if (media.kind === "video") {
      if (shown.track !== carried.track) note(shown, null);
      shown.track = carried.track;
      shown.receiver = transceiver.receiver;
      shown.size.parentElement.hidden = carried.source !== "camera";
    }
    darken(shown, isDark(shown, state.roster.get(key)));
    if (!shown.video.srcObject) {
      shown.video.srcObject = shown.stream;
      shown.video.play().catch((error) => {
        if (error.name === "NotAllowedError") problem("The browser plays sound only after a click.", "Play sound", playAll);
      });
    }
  }
  state.carried = wanted;
  // Who is not carried any more has no picture or sound here: others are more important.
  const used = new Set(tracks.map((carried) => carried.mid));
  for (const [mid, { receiver }] of transceivers) {
    const holder = holders.get(receiver.track);
    if (!used.has(mid) && holder && !holder.mine) release(holder, receiver.track);
  }
  prune();
}

function playAll() {
  problem("");
  for (const shown of tiles.values()) shown.video.play().catch(() => {});
}

function isDark(shown, person) {
  return !shown.stream.getVideoTracks().length || Boolean(person?.muted.includes("camera"));
}

function release(shown, media) {
  shown.stream.removeTrack(media);
  if (media.kind !== "video") return;
  Object.assign(shown, { track: null, receiver: null });
  note(shown, null);
  darken(shown, true);
}

async function roster(message) {
  const { pc } = state;
  state.roster = new Map(message.participants.map((p) => [String(p.id), p]));
  state.watching = message.watching;
  for (const [at, [id, person]] of [...state.roster].entries()) {
    if (at % SLICE === SLICE - 1) await pause();
    if (pc !== state.pc) return;
    mutes(id, person);
  }
  prune();
  here();
}

// What has changed since the roster.
function people({ here: changed, left, watching }) {
  if (!state.roster.size) return;
  for (const id of left) state.roster.delete(String(id));
  for (const person of changed) {
    state.roster.set(String(person.id), person);
    mutes(String(person.id), person);
  }
  state.watching = watching;
  prune();
  here();
}

// Says who is here.
function here() {
  if (!state.roster.size) return status("Connected");
  const others = state.roster.size - 1;
  const watching = state.watching ? `, ${state.watching} watching` : "";
  return status(others > 0 ? `${others + 1} people here${watching}` : `Nobody else is here yet${watching}. Share the link.`);
}

function mutes(id, person) {
  if (id === String(state.id)) return;
  const shown = tile(id, person.name, "camera", false, person.person, choose);
  shown.muted.hidden = !person.muted.includes("microphone");
  darken(shown, isDark(shown, person));
}

function prune() {
  for (const [key, shown] of tiles) {
    if (!shown.mine && !state.roster.has(key) && !state.carried.has(key)) remove(key);
  }
}

function speaking() {
  for (const [key, shown] of tiles) {
    const id = key === "me" ? String(state.id) : key;
    shown.root.classList.toggle("speaking", id === String(state.speaker));
  }
}

function toggle(kind, button, on, off, source) {
  const tracks = kind === "audio" ? state.local.getAudioTracks() : state.local.getVideoTracks();
  const muted = button.getAttribute("aria-pressed") !== "true";
  for (const track of tracks) track.enabled = !muted;
  press(button, muted, muted ? off : on);
  state.muted.set(source, muted);
  send({ type: "mute", source, muted });
  const mine = tiles.get("me");
  if (source === "camera") darken(mine, muted);
  else mine.muted.hidden = !muted;
}

function press(button, pressed, text) {
  button.setAttribute("aria-pressed", String(pressed));
  button.querySelector(".label").textContent = text;
}

$("mic").addEventListener("click", () => toggle("audio", $("mic"), "Mute", "Unmute", "microphone"));
$("cam").addEventListener("click", () => toggle("video", $("cam"), "Stop video", "Start video", "camera"));

// Offers what is sent now. What changes while an offer waits for its answer is offered after that.
async function negotiate() {
  await enqueue(async () => {
    const { pc } = state;
    state.changed = pc.signalingState !== "stable";
    if (state.changed) return;
    await pc.setLocalDescription();
    state.sources = state.screen ? [{ mid: state.screenTransceiver.mid, source: "screen" }] : [];
    offerAgain(pc);
  });
}

async function addScreen(stream) {
  const track = stream.getVideoTracks()[0];
  const idle = state.pc.getTransceivers().find((t) => t === state.screenTransceiver);
  if (idle) {
    await idle.sender.replaceTrack(track);
    idle.direction = "sendonly";
  } else {
    state.screenTransceiver = state.pc.addTransceiver(track, { direction: "sendonly", streams: [stream] });
  }
  await negotiate();
}

async function startScreen() {
  const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 15 } });
  state.screen = stream;
  stream.getVideoTracks()[0].onended = stopScreen;
  const mine = tile("me-screen", "Your screen", "screen", true);
  mine.video.muted = true;
  mine.video.srcObject = stream;
  press($("screen"), true, "Stop sharing");
  await addScreen(stream);
}

async function stopScreen() {
  if (!state.screen) return;
  stop(state.screen);
  state.screen = null;
  remove("me-screen");
  press($("screen"), false, "Share screen");
  if (!state.screenTransceiver) return;
  state.screenTransceiver.direction = "inactive";
  await state.screenTransceiver.sender.replaceTrack(null);
  await negotiate();
}

onChat((text) => send({ type: "chat", text }));

$("screen").hidden = !navigator.mediaDevices?.getDisplayMedia;
$("screen").addEventListener("click", async () => {
  try {
    await (state.screen ? stopScreen() : startScreen());
  } catch (error) {
    if (error.name !== "NotAllowedError") problem(`The screen cannot be shared: ${error.message}`, "Close", () => problem(""));
  }
});

$("share").addEventListener("click", async () => {
  const { text, brief } = await copyLink(state.room);
  status(text);
  if (brief) setTimeout(() => { if (state.pc && $("status").textContent === text) here(); }, BRIEF);
});

// Only who may see the statistics sees the button.
async function showPanelButton() {
  const headers = { authorization: `Bearer ${operator()}` };
  const response = operator() ? await fetch("/api/stats", { headers }).catch(() => null) : null;
  $("panel-toggle").hidden = !response?.ok;
}
$("panel-toggle").addEventListener("click", () => {
  const open = $("panel").hidden;
  $("panel").hidden = !open;
  $("panel-toggle").setAttribute("aria-expanded", String(open));
  if (open) openPanel(operator()); else closePanel();
});

async function leave(told) {
  Object.assign(state, { leaving: true, rejoining: false, left: state.left + 1 });
  if (told) send({ type: "leave" });
  clearInterval(state.timer);
  drop();
  stop(state.local);
  stop(state.screen);
  Object.assign(state, { id: null, local: null, screen: null, speaker: null });
  clear();
  for (const id of ["call", "controls", "panel"]) $(id).hidden = true;
  document.body.classList.remove("in-call");
  $("panel-toggle").setAttribute("aria-expanded", "false");
  closePanel();
  $("join").hidden = false;
  $("title").textContent = "lanemesh rooms";
  press($("mic"), false, "Mute");
  press($("cam"), false, "Stop video");
  press($("screen"), false, "Share screen");
  await showPreview(false, previewFailed);
}

$("leave").addEventListener("click", async () => {
  await leave(true);
  status("You left the room");
  problem("");
  $("join").querySelector(".primary").focus();
});
addEventListener("online", () => state.pc && state.watch?.again());
addEventListener("pagehide", () => {
  if (state.pc) navigator.sendBeacon(`/api/leave/${state.resource}`);
});
