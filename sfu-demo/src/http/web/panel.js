// The statistics panel: updated every second, as small charts and a table.

const POINTS = 60;
const charts = [
  { key: "out", title: "Packets out", unit: "/s" },
  { key: "in", title: "Packets in", unit: "/s" },
  { key: "p50", title: "Forward p50", unit: "µs" },
  { key: "p99", title: "Forward p99", unit: "µs" },
  { key: "depth", title: "Queued", unit: "" },
  { key: "sleeps", title: "Wake-ups", unit: "/s" },
  { key: "drops", title: "Drops", unit: "/s" },
];
const REASONS = {
  stranger: "From an address that has not proved whose it is",
  malformed: "Not STUN, DTLS, RTP or RTCP, or not for this session",
  oversized: "Longer than any datagram of WebRTC",
  too_many_sources: "From more sources than a peer may have",
  aged: "Waited too long between shards: the machine is too busy",
  lane_full: "No room on the way to another shard: the machine is too busy",
  socket_full: "No room in the socket: more is sent than the network takes",
  refused: "The system refused to send it",
  repeated: "Its number had been sent already",
  congested: "The way to the viewer is too slow: the picture skips or pauses",
  codec_missing: "The viewer's browser lacks the codec",
};
let timer = null;
let before = null;
const history = new Map();

export function openPanel(token) {
  if (!document.getElementById("charts").childElementCount) build();
  clearInterval(timer);
  const ask = () => look(token).catch((error) => summary(`No statistics: ${error.message}`));
  timer = setInterval(ask, 1000);
  ask();
}

export function closePanel() {
  clearInterval(timer);
  timer = null;
}

function summary(text) {
  document.getElementById("panel-summary").textContent = text;
}

function build() {
  for (const chart of charts) {
    const figure = document.createElement("figure");
    const canvas = document.createElement("canvas");
    const caption = document.createElement("figcaption");
    const value = document.createElement("b");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", chart.title);
    caption.append(chart.title, value);
    figure.append(caption, canvas);
    document.getElementById("charts").append(figure);
    Object.assign(chart, { canvas, value });
    history.set(chart.key, []);
  }
}

async function look(token) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const response = await fetch("/api/stats", { headers });
  if (!response.ok) throw new Error((await response.json()).error ?? response.status);
  const stats = await response.json();
  const now = performance.now();
  const seconds = before ? (now - before.now) / 1000 : 0;
  const shards = stats.shards.map((shard) => {
    const old = before?.shards.get(shard.shard);
    const rate = (read) => (old && seconds > 0 ? (read(shard) - read(old)) / seconds : 0);
    const drops = (s) => Object.values(s.counters.drops).reduce((a, b) => a + b, 0);
    return {
      id: shard.shard, peers: shard.peers,
      in: rate((s) => s.counters.media_in), out: rate((s) => s.counters.media_out),
      p50: shard.latency.p50, p99: shard.latency.p99,
      high: shard.high_depth, low: shard.low_depth,
      sleeps: rate((s) => s.sleeps), drops: drops(shard), dropRate: rate(drops),
    };
  });
  const earlier = before;
  before = { now, shards: new Map(stats.shards.map((s) => [s.shard, s])) };
  const sum = (read) => shards.reduce((total, s) => total + read(s), 0);
  const most = (read) => Math.max(0, ...shards.map(read));
  draw({
    out: sum((s) => s.out), in: sum((s) => s.in), p50: most((s) => s.p50), p99: most((s) => s.p99),
    depth: sum((s) => s.high + s.low), sleeps: sum((s) => s.sleeps), drops: sum((s) => s.dropRate),
  });
  const people = stats.rooms.reduce((total, r) => total + r.participants, 0);
  const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
  summary(`${count(stats.rooms.length, "room")}, ${count(people, "participant")}, ${count(shards.length, "shard")} on the ${stats.mailbox} mailbox`);
  table(shards);
  reasons(stats.shards, earlier, seconds);
}

function draw(values) {
  for (const chart of charts) {
    const points = history.get(chart.key);
    points.push(values[chart.key]);
    if (points.length > POINTS) points.shift();
    chart.value.textContent = `${Math.round(values[chart.key]).toLocaleString()} ${chart.unit}`;
    chart.canvas.setAttribute("aria-label", `${chart.title}: ${chart.value.textContent}`);
    const { canvas } = chart;
    const ratio = devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    const context = canvas.getContext("2d");
    const top = Math.max(1, ...points) * 1.1;
    const x = (i) => (i + POINTS - points.length) * canvas.width / (POINTS - 1);
    const y = (v) => canvas.height - v / top * canvas.height;
    const accent = getComputedStyle(document.documentElement).getPropertyValue("--accent");
    context.beginPath();
    points.forEach((v, i) => (i ? context.lineTo(x(i), y(v)) : context.moveTo(x(i), y(v))));
    context.strokeStyle = accent;
    context.lineWidth = 2 * ratio;
    context.stroke();
    context.lineTo(x(points.length - 1), canvas.height);
    context.lineTo(x(0), canvas.height);
    context.globalAlpha = 0.15;
    context.fillStyle = accent;
    context.fill();
  }
}

function table(shards) {
  const body = document.querySelector("#shards tbody");
  body.replaceChildren(...shards.map((s) => {
    const row = document.createElement("tr");
    const cells = [s.id, s.peers, s.in, s.out, `${s.p50} µs`, `${s.p99} µs`, s.high, s.low, s.sleeps, s.drops];
    for (const cell of cells) {
      const td = document.createElement("td");
      td.textContent = typeof cell === "number" ? Math.round(cell).toLocaleString() : cell;
      row.append(td);
    }
    return row;
  }));
}

// Why packets were dropped, most first.
function reasons(shards, earlier, seconds) {
  const sums = (all) => {
    const sum = new Map();
    for (const shard of all ?? []) {
      for (const [reason, count] of Object.entries(shard.counters.drops)) sum.set(reason, (sum.get(reason) ?? 0) + count);
    }
    return sum;
  };
  const [now, old] = [sums(shards), sums(earlier?.shards.values())];
  const total = [...now.values()].reduce((a, b) => a + b, 0);
  document.getElementById("drops-total").textContent = total ? total.toLocaleString() : "none";
  const found = [...now].filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1]);
  document.querySelector("#drops tbody").replaceChildren(...found.map(([reason, count]) => {
    const row = document.createElement("tr");
    const rate = earlier && seconds > 0 ? (count - (old.get(reason) ?? 0)) / seconds : 0;
    for (const cell of [REASONS[reason] ?? reason, count.toLocaleString(), Math.round(rate).toLocaleString()]) {
      const td = document.createElement("td");
      td.textContent = cell;
      row.append(td);
    }
    return row;
  }));
}
