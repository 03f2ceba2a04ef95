// What lets a page in: the room and the token of its address, or of a new link that somebody pastes.

const ROOM = /^\/r\/([A-Za-z0-9_-]{1,64})$/;

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);

export const access = { token: query.get("token") ?? undefined };

// Statistics are for operators: with a token of their own, or a room token that says so.
export function operator() {
  return query.get("operator") ?? (isOperator(access.token) ? access.token : undefined);
}

function isOperator(jwt) {
  try {
    return JSON.parse(atob(jwt.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).operator === true;
  } catch {
    return false;
  }
}

function roomOf(path) {
  return path.match(ROOM)?.[1] ?? null;
}

function invent() {
  const bytes = crypto.getRandomValues(new Uint8Array(5));
  return [...bytes].map((b) => "abcdefghijkmnpqrstuvwxyz23456789"[b % 32]).join("");
}

// The room to begin with.
export function room() {
  return roomOf(location.pathname) ?? query.get("room") ?? invent();
}

// Shows the field for a new link, which is empty and has the focus.
export function askForLink() {
  $("invitation").hidden = false;
  $("link").value = "";
  $("link").focus();
}

// Takes the link, or the token alone, that was pasted.
export function takeLink() {
  const text = $("invitation").hidden ? "" : $("link").value.trim();
  if (!text) return;
  const link = URL.canParse?.(text) ? new URL(text) : null;
  access.token = link ? link.searchParams.get("token") ?? undefined : text;
  const named = link && roomOf(link.pathname);
  if (named) $("room").value = named;
}

// The address of the room that the page is in, without what is no longer used.
export function address(named) {
  const now = new URLSearchParams(location.search);
  if (access.token) now.set("token", access.token);
  else now.delete("token");
  return `/r/${named}${String(now) && `?${now}`}`;
}

// Copies the link of a room. Returns what to say: a link does not carry the token, which may name its bearer.
export async function copyLink(named) {
  const link = `${location.origin}/r/${named}`;
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    return { text: link, brief: false };
  }
  return { text: `Link copied${access.token ? ". Whoever opens it needs a token, too" : ""}`, brief: true };
}
