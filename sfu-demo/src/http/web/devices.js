// Cameras and microphones: choice, preview, and what is sent of them.

import { pause } from "/words.js";

const $ = (id) => document.getElementById(id);

const RATE = 48_000;
const preview = { stream: null, key: "", meter: null, asked: false, turn: 0 };

// A moving picture and a quiet tone, for machines without a camera.
async function synthetic(name) {
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
  const sound = await tone(220 + hue);
  const stream = canvas.captureStream(25);
  stream.addTrack(sound.track);
  stream.stop = () => { clearInterval(timer); sound.stop(); };
  return stream;
}

// A quiet tone. An AudioContext opens the machine's sound, which is a long task, so the samples are made here where they
// can be.
async function tone(frequency) {
  if (!globalThis.MediaStreamTrackGenerator || !globalThis.AudioData) return played(frequency);
  const track = new MediaStreamTrackGenerator({ kind: "audio" });
  const writer = track.writable.getWriter();
  const began = performance.now();
  let block = 0;
  const write = () => {
    const due = Math.floor((performance.now() - began) / 20);
    // What a busy machine has missed stays silent.
    if (due - block > 10) block = due - 1;
    for (; block < due; block += 1) {
      const samples = Float32Array.from({ length: 960 }, (_, at) => (
        0.08 * Math.sin(2 * Math.PI * frequency * (block * 960 + at) / RATE)));
      const data = new AudioData({
        format: "f32", sampleRate: RATE, numberOfFrames: 960, numberOfChannels: 1, timestamp: block * 20_000, data: samples,
      });
      writer.write(data).catch(() => {});
    }
  };
  const timer = setInterval(write, 20);
  return { track, stop: () => clearInterval(timer) };
}

async function played(frequency) {
  await pause();
  const audio = new AudioContext();
  const oscillator = audio.createOscillator();
  const gain = audio.createGain();
  const out = audio.createMediaStreamDestination();
  oscillator.frequency.value = frequency;
  gain.gain.value = 0.08;
  oscillator.connect(gain).connect(out);
  oscillator.start();
  return { track: out.stream.getAudioTracks()[0], stop: () => audio.close() };
}

export function stop(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream?.stop?.();
}

function choice() {
  const form = new FormData($("join"));
  return { source: form.get("source"), camera: form.get("camera") ?? "", microphone: form.get("microphone") ?? "" };
}

const keyOf = ({ source, camera, microphone }) => `${source} ${camera} ${microphone}`;

async function open({ source, camera, microphone }) {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers allow the camera only on https pages and on this machine. Join with the test picture instead.");
  }
  const device = (id) => (id ? { deviceId: { exact: id } } : {});
  const picture = { width: { ideal: 1280 }, height: { ideal: 720 }, ...device(camera) };
  return navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: true, noiseSuppression: true, ...device(microphone) },
    video: source === "camera" ? picture : false,
  });
}

// What the form chooses; the preview's, if that shows it already.
export async function capture(name) {
  const chosen = choice();
  if (chosen.source === "none") return new MediaStream();
  if (chosen.source === "synthetic") return synthetic(name);
  const shown = preview.key === keyOf(chosen) && preview.stream?.getTracks().every((t) => t.readyState === "live");
  const stream = shown ? preview.stream : await open(chosen);
  if (shown) preview.stream = null;
  endPreview();
  return stream;
}

// Encodings that fit the true size of a camera: browsers leave out the largest of those that are too many for a small one.
export function encodings(track) {
  const { width = 1280, height = 720 } = track.getSettings();
  const pixels = width * height;
  const count = pixels >= 960 * 540 ? 3 : pixels >= 480 * 270 ? 2 : 1;
  const rate = (scale) => Math.round(1_500_000 * Math.min(1.2, pixels / scale ** 2 / 921_600) ** 0.8);
  if (count === 1) return [{ maxBitrate: rate(1) }];
  return ["q", "h", "f"].slice(3 - count).map((rid, at) => {
    const scale = 2 ** (count - 1 - at);
    return { rid, scaleResolutionDownBy: scale, maxBitrate: rate(scale) };
  });
}

export function endPreview() {
  preview.turn += 1;
  cancelAnimationFrame(preview.meter?.frame);
  preview.meter?.audio.close();
  stop(preview.stream);
  Object.assign(preview, { stream: null, key: "", meter: null });
  $("preview-video").srcObject = null;
  $("preview").classList.remove("live");
  $("level").hidden = true;
}

function meter(stream) {
  const track = stream.getAudioTracks()[0];
  if (!track) return;
  const audio = new AudioContext();
  const analyser = audio.createAnalyser();
  analyser.fftSize = 256;
  audio.createMediaStreamSource(new MediaStream([track])).connect(analyser);
  const samples = new Uint8Array(analyser.fftSize);
  preview.meter = { audio, frame: 0 };
  const draw = () => {
    analyser.getByteTimeDomainData(samples);
    const loud = samples.reduce((most, sample) => Math.max(most, Math.abs(sample - 128)), 0);
    $("level").value = Math.min(1, loud / 64);
    preview.meter.frame = requestAnimationFrame(draw);
  };
  $("level").hidden = false;
  draw();
}

async function list() {
  const devices = await navigator.mediaDevices.enumerateDevices().catch(() => []);
  for (const [id, kind, other] of [["camera", "videoinput", "Camera"], ["microphone", "audioinput", "Microphone"]]) {
    const known = devices.filter((device) => device.kind === kind && device.deviceId);
    const before = $(id).value;
    const options = known.map((device, at) => new Option(device.label || `${other} ${at + 1}`, device.deviceId));
    $(id).replaceChildren(new Option(`Default ${other.toLowerCase()}`, ""), ...options);
    $(id).value = known.some((device) => device.deviceId === before) ? before : "";
  }
}

const WORDS = {
  camera: "Your picture appears here once the camera is on.",
  audio: "Audio only: others hear you, and see your name.",
  synthetic: "Others see a moving test picture, and hear a quiet tone.",
  none: "You only watch: nobody sees or hears you.",
};

// Shows what the form chooses. `ask` is whether the browser may ask for permission.
export async function showPreview(ask, failed) {
  endPreview();
  const { turn } = preview;
  const chosen = choice();
  const live = chosen.source === "camera" || chosen.source === "audio";
  $("devices").hidden = !live;
  $("camera").parentElement.hidden = chosen.source !== "camera";
  $("preview-words").textContent = WORDS[chosen.source] ?? "";
  $("check").hidden = !live;
  if (!live || !navigator.mediaDevices) return;
  preview.asked ||= ask;
  if (!preview.asked && !(await granted(chosen.source))) return;
  try {
    const stream = await open(chosen);
    if (turn !== preview.turn) return stop(stream);
    Object.assign(preview, { stream, key: keyOf(chosen), asked: true });
    $("preview-video").srcObject = stream;
    $("preview").classList.toggle("live", stream.getVideoTracks().length > 0);
    $("check").hidden = true;
    meter(stream);
    await list();
  } catch (error) {
    if (turn === preview.turn) failed(error);
  }
  return undefined;
}

async function granted(source) {
  const state = async (name) => (await navigator.permissions?.query({ name }).catch(() => null))?.state === "granted";
  return (source === "audio" || (await state("camera"))) && state("microphone");
}
