// The chat of a room, beside the pictures.

const $ = (id) => document.getElementById(id);

let send = () => {};

// `told` gets what is typed.
export function onChat(told) { send = told; }

// Shows a message, or one of our own that the server has not passed on.
export function said(message) {
  const line = document.createElement("li");
  line.classList.toggle("unsaid", Boolean(message.error));
  const who = document.createElement("b");
  if (message.error) who.textContent = `Not sent (${message.error}): `;
  else who.append(isolated(message.name), ": ");
  line.append(who, isolated(message.text));
  $("messages").append(line);
  line.scrollIntoView({ block: "nearest" });
  if ($("side").hidden) $("chat-toggle").classList.add("news");
}

// Text that may run from right to left, in its place all the same.
function isolated(text) {
  const part = document.createElement("bdi");
  part.textContent = text;
  return part;
}

// Forgets what was said, as in another room.
export function forget() {
  $("messages").replaceChildren();
  $("chat-toggle").classList.remove("news");
}

function openChat(open) {
  if ($("side").hidden === !open) return;
  $("side").hidden = !open;
  $("chat-toggle").setAttribute("aria-expanded", String(open));
  $("chat-toggle").classList.remove("news");
  $(open ? "text" : "chat-toggle").focus();
}
$("chat-toggle").addEventListener("click", () => openChat($("side").hidden));
$("chat-close").addEventListener("click", () => openChat(false));
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.fullscreenElement) openChat(false);
});

$("chat").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text) send(text);
  $("text").value = "";
});
