// What the page and the server say to each other: JSON over a WebSocket, which outlives a failed shard. Where none can be
// opened, such as behind a proxy that does not pass them, the data channel is used instead.

const FIRST = 250;
const LONGEST = 4000;
// Messages that wait until the socket is open again.
const MOST = 64;
// How long a socket may take to say why the session has ended.
const FAREWELL = 1000;

export class Signal {
  #url;
  #channel;
  #on;
  #socket = null;
  #opened = false;
  #closed = false;
  #delay = FIRST;
  #waiting = [];

  // `on` has: `message`, `open` (also when it is open again), and `over` when the session has ended, with why: `lost`,
  // `stopping` (the server), `replaced` (by another session of the same participant), or `ended`.
  constructor(resource, channel, on) {
    this.#url = `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/api/socket/${resource}`;
    this.#channel = channel;
    this.#on = on;
    channel.onclose = () => {
      // The socket knows better why.
      const wait = this.#socket?.readyState === WebSocket.OPEN ? FAREWELL : 0;
      setTimeout(() => this.#over("ended"), wait);
    };
    channel.onopen = () => { if (!this.#socket) this.#open(); };
    channel.onmessage = (event) => this.#message(event.data, !this.#socket);
    this.#connect();
  }

  send(message) {
    const text = JSON.stringify(message);
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(text);
    else if (!this.#socket && this.#channel.readyState === "open") this.#channel.send(text);
    // An offer that has no answer is made again when there is a way.
    else if (message.type !== "offer" && this.#waiting.length < MOST) this.#waiting.push(text);
  }

  close() {
    this.#closed = true;
    this.#socket?.close();
  }

  #connect() {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.onopen = () => {
      this.#opened = true;
      this.#delay = FIRST;
      this.#open();
    };
    socket.onmessage = (event) => this.#message(event.data, true);
    socket.onclose = () => {
      if (this.#closed) return;
      if (this.#opened) {
        // An interruption: the server says everything again when it is back.
        setTimeout(() => { if (!this.#closed) this.#connect(); }, this.#delay);
        this.#delay = Math.min(2 * this.#delay, LONGEST);
      } else {
        this.#socket = null;
        if (this.#channel.readyState === "open") this.#open();
      }
    };
  }

  #open() {
    const texts = this.#waiting.splice(0);
    for (const text of texts) (this.#socket ?? this.#channel).send(text);
    this.#on.open();
  }

  #message(text, all) {
    const message = JSON.parse(text);
    if (message.type === "gone") return this.#over("lost");
    if (message.type === "stopping") return this.#over("stopping");
    if (message.type === "ended") return this.#over(message.why === "replaced" ? "replaced" : "ended");
    // The server offers again over the socket.
    return all || message.type !== "offer" ? this.#on.message(message) : undefined;
  }

  #over(why) {
    if (this.#closed) return;
    this.close();
    this.#on.over(why);
  }
}
