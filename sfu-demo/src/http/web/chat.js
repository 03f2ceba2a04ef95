// The chat of a room, beside the pictures.

const $ = (id) => document.getElementById(id);

let send = () => {};

// `told` gets what is typed.
export function onChat(told) { send = told; }

export function said(message) {
  const line = document.createElement("li");
  const who = document.createElement("b");
  who.textContent = `${message.name}: `;
  line.append(who, message.text);
  $("messages").append(line);
  line.scrollIntoView({ block: "nearest" });
  if ($("side").hidden) $("chat-toggle").classList.add("news");
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
