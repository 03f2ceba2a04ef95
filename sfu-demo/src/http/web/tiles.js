// The tiles of a room, and where they are: the stage, the grid and its pages, and people without a picture.

const $ = (id) => document.getElementById(id);

const GAP = 10;
const CHIP = { width: 190, height: 52 };
const STRIP = 208;
const PAGE = 25;
const WORDS = { paused: "Paused: the connection is too slow" };

export const tiles = new Map();
// Whose picture is pinned: somebody who joins again has a new tile.
let pinned = null;
let page = 0;
let due = 0;
let changedPin = () => {};

export function onPin(told) { changedPin = told; }

// A person's camera or screen, whichever tile shows it.
const picture = (key, shown) => (shown.person ? `${shown.person} ${shown.source === "screen" ? "screen" : "camera"}` : key);

export function tile(key, name, source, mine, person, choose) {
  let shown = tiles.get(key);
  if (!shown) {
    const root = $("tile").content.firstElementChild.cloneNode(true);
    const part = (selector) => root.querySelector(selector);
    shown = {
      root, video: part("video"), muted: part(".muted"), quality: part(".quality"), size: part("select"),
      pin: part(".pin"), full: part(".full"), note: part(".note"),
      stream: new MediaStream(), track: null, receiver: null, source, mine, person,
    };
    root.dataset.key = key;
    root.classList.toggle("mine", mine);
    root.classList.toggle("screen", source === "screen");
    root.classList.toggle("dark", !mine);
    shown.size.addEventListener("change", (event) => choose?.(shown, event.target.value));
    shown.pin.addEventListener("click", () => pin(pinned === picture(key, shown) ? null : picture(key, shown)));
    shown.full.hidden = !root.requestFullscreen;
    shown.full.addEventListener("click", () => {
      const change = document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen();
      change.catch(() => {});
    });
    tiles.set(key, shown);
    $("grid").append(root);
    layout();
  }
  const text = mine && source !== "screen" ? `${name} (you)` : name;
  if (shown.name !== text) {
    shown.name = text;
    const who = shown.root.querySelector(".who");
    // The tile may have room for its beginning only.
    who.textContent = who.title = text;
    shown.root.setAttribute("aria-label", mine ? `${name}, you` : name);
    shown.video.setAttribute("aria-label", mine ? `Your own picture: ${name}` : `Picture of ${name}`);
    shown.root.querySelector(".avatar").textContent = (name.trim()[0] ?? "?").toUpperCase();
    shown.size.setAttribute("aria-label", `Picture size of ${name}`);
    shown.full.setAttribute("aria-label", `${name} in full screen`);
    label(key, shown);
  }
  return shown;
}

export function remove(key) {
  const shown = tiles.get(key);
  if (!shown) return;
  if (document.fullscreenElement === shown.root) document.exitFullscreen().catch(() => {});
  shown.root.remove();
  tiles.delete(key);
  // Others may come back.
  if (shown.mine && pinned === key) pin(null);
  layout();
}

export function clear() {
  if (pinned) pin(null);
  for (const key of [...tiles.keys()]) remove(key);
  page = 0;
}

// Whether somebody has no picture now.
export function darken(shown, dark) {
  if (shown.root.classList.contains("dark") === dark) return;
  shown.root.classList.toggle("dark", dark);
  layout();
}

// Says over a tile why its picture is not there; `null` takes it back.
export function note(shown, text) {
  shown.note.textContent = text === "paused" ? WORDS.paused : text ?? "";
  shown.note.hidden = !text;
  shown.root.classList.toggle("noted", Boolean(text));
}

export function pin(next) {
  pinned = next;
  for (const [key, shown] of tiles) label(key, shown);
  tellPin();
  layout();
}

// The server does not know of the page's own tiles.
export function tellPin() {
  const [person, source] = pinned?.split(" ") ?? [];
  changedPin(source ? [{ person, source }] : []);
}

function label(key, shown) {
  const is = pinned === picture(key, shown);
  shown.pin.setAttribute("aria-pressed", String(is));
  shown.pin.setAttribute("aria-label", is ? `Unpin ${shown.name}` : `Pin ${shown.name}`);
  shown.pin.title = is ? "Unpin" : "Pin to the stage";
}

// What is on the stage: what was pinned, or else the screen that was shared last.
function staged() {
  const chosen = [...tiles].find(([key, shown]) => picture(key, shown) === pinned);
  if (chosen) return chosen[0];
  const screens = [...tiles].filter(([, shown]) => shown.source === "screen" && !shown.mine);
  return screens.at(-1)?.[0] ?? null;
}

// Once a frame at most, however many changes there are.
export function layout() {
  due ||= requestAnimationFrame(() => {
    due = 0;
    arrange();
  });
}

function place(shown, left, top, width, height) {
  const { style } = shown.root;
  const values = [left, top, width, height].map((value) => `${Math.floor(value)}px`);
  const [x, y, w, h] = values;
  if (shown.placed === values.join()) return;
  shown.placed = values.join();
  Object.assign(style, { left: x, top: y, width: w, height: h });
}

// The number of columns that makes the tiles largest.
function fit(count, width, height, aspect) {
  let best = { across: 0, columns: 1 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const across = Math.min((width - GAP * (columns - 1)) / columns, (height - GAP * (rows - 1)) / rows * aspect);
    if (across > best.across) best = { across, columns };
  }
  return best;
}

// Returns where it ends: below `height`, if the tiles would be too small otherwise.
function grid(shown, left, top, width, height) {
  if (!shown.length) return top;
  const aspect = width < height ? 4 / 3 : 16 / 9;
  let { across, columns } = fit(shown.length, width, height, aspect);
  const least = Math.min(150, (width - GAP) / 2);
  if (across < least) {
    across = least;
    columns = Math.max(1, Math.floor((width + GAP) / (least + GAP)));
  }
  const down = across / aspect;
  const rows = Math.ceil(shown.length / columns);
  const used = rows * (down + GAP) - GAP;
  const above = top + Math.max(0, (height - used) / 2);
  shown.forEach((it, at) => {
    const row = Math.floor(at / columns);
    const inRow = row === rows - 1 ? shown.length - row * columns : columns;
    const margin = (width - inRow * (across + GAP) + GAP) / 2;
    place(it, left + margin + (at % columns) * (across + GAP), above + row * (down + GAP), across, down);
  });
  return above + used;
}

function chips(shown, width, top, alone, height) {
  const wide = Math.min(CHIP.width, (width - GAP) / 2);
  const columns = Math.max(1, Math.min(shown.length, Math.floor((width + GAP) / (wide + GAP))));
  const rows = Math.ceil(shown.length / columns);
  const used = rows * (CHIP.height + GAP) - GAP;
  const above = alone ? Math.max(0, (height - used) / 2) : top;
  shown.forEach((it, at) => {
    const row = Math.floor(at / columns);
    const inRow = row === rows - 1 ? shown.length - row * columns : columns;
    const margin = (width - inRow * (wide + GAP) + GAP) / 2;
    place(it, margin + (at % columns) * (wide + GAP), above + row * (CHIP.height + GAP), wide, CHIP.height);
  });
}

function arrange() {
  const { clientWidth: width, clientHeight: height } = $("grid");
  if (!width || !tiles.size) return;
  const key = staged();
  const all = [...tiles.values()];
  const stage = tiles.get(key);
  const dark = all.filter((it) => it !== stage && it.root.classList.contains("dark"));
  const pictures = all.filter((it) => it !== stage && !it.root.classList.contains("dark"));
  const pages = Math.max(1, Math.ceil(pictures.length / PAGE));
  page = Math.min(page, pages - 1);
  const here = new Set(pictures.slice(page * PAGE, (page + 1) * PAGE));
  for (const it of all) {
    it.root.classList.toggle("staged", it === stage);
    it.root.classList.toggle("chip", dark.includes(it));
    it.root.hidden = pictures.includes(it) && !here.has(it);
  }
  $("pager").hidden = pages === 1;
  $("pager-at").textContent = `${page + 1} of ${pages}`;
  const columns = Math.max(1, Math.floor((width + GAP) / (Math.min(CHIP.width, (width - GAP) / 2) + GAP)));
  const rows = Math.min(2, Math.ceil(dark.length / columns));
  const alone = !stage && !here.size;
  const below = alone ? 0 : rows * (CHIP.height + GAP);
  const room = height - below;
  let end = room;
  if (stage && width >= 720) {
    const strip = here.size ? STRIP + GAP : 0;
    place(stage, 0, 0, width - strip, room);
    end = Math.max(end, column([...here], width - STRIP, room));
  } else if (stage) {
    const tall = here.size ? Math.max(room * 0.55, Math.min(room - 120, width * 9 / 16)) : room;
    place(stage, 0, 0, width, tall);
    if (here.size) end = Math.max(end, grid([...here], 0, tall + GAP, width, room - tall - GAP));
  } else {
    end = Math.max(end, grid([...here], 0, 0, width, room));
  }
  chips(dark, width, end + GAP, alone, height);
}

function column(shown, left, height) {
  const down = STRIP * 9 / 16;
  const used = shown.length * (down + GAP) - GAP;
  const above = Math.max(0, (height - used) / 2);
  shown.forEach((it, at) => place(it, left, above + at * (down + GAP), STRIP, down));
  return above + used;
}

for (const [id, by] of [["pager-back", -1], ["pager-on", 1]]) {
  $(id).addEventListener("click", () => {
    const pages = Math.ceil([...tiles.values()].filter((it) => !it.root.classList.contains("chip")).length / PAGE);
    page = (page + by + pages) % pages;
    layout();
  });
}
new ResizeObserver(layout).observe($("grid"));
