// A page as a node: it tells and asks actors of the node that it connects to, and is told and asked by it.
//
// It speaks the protocol of `lanemesh-net` over two connections, one for each priority, with messages as JSON: two
// WebSockets, or, with an address that begins with `https:`, two data channels of WebRTC:
//
//     import { connect } from './lanemesh.js';
//
//     const page = await connect('wss://chat.example/lanes', { name: 'page/7', token });
//     page.export('page/7', 'example/guest', { low(line) { show(line); } });
//     const room = await page.lookup('room', 'example/room');
//     await room.tell({ from: 'page/7', text: 'hello' });
//     const here = await room.ask((reply) => ({ Who: reply }), { timeout: 1000 });
//
// Messages are what serde_json makes of the Rust types: numbers beyond 2^53 lose digits on the way.
// The page's camera and microphone go to a track of the node by RTP (`sendTrack`), and the node's tracks into elements of the page
// (`receiveTrack`), on sections that `connect` declares (`media`).
//
// Nothing queues without a bound: what finds no room is refused.

const MAGIC = 0x48534d4c; // "LMSH", little-endian
const VERSION = 2;
const HIGH = 0;
const LOW = 1;
const TOKEN = 0x80;
const JSON_CODEC = 1;
/** Beside the codecs of whoever opens a lane: it understands that it is given more room. */
const ROOM = 1 << 6;
const MAX_LANES = 1024;
/** Bytes of credit to which a lane grows at most. */
const MAX_GROWN = 16 << 20;
/** The most that goes into one WebSocket message. */
const PIECE = 64 << 10;
/** The most that goes into one message on a data channel, with its number. */
const MESSAGE = 16 << 10;
/** Bytes of messages on a data channel that wait for an earlier one, and what each of them costs besides. */
const [MAX_EARLY, EARLY] = [4 << 20, 64];
/** Bytes that may wait in a data channel before more are given to it. */
const BUFFERED = 128 << 10;
/** Bytes on low after which the other end is told what has arrived. */
const STEP = 4 << 10;

const KIND = {
  open: 1, opened: 2, refused: 3, message: 4, ask: 5, credit: 6, confirm: 7, close: 8, ended: 9, order: 10,
  answer: 11, noAnswer: 12, ping: 13, pong: 14, received: 15, bye: 16, room: 19,
};
const REASONS = ['normal', 'stopped', 'failed', 'panicked', 'killed', 'unhealthy', 'unreachable'];
const REFUSALS = ['unknown', 'mismatch', 'denied', 'limit'];
/** Verdicts that stay: another token may be better, and nothing helps. */
const [TOKENS, FINAL] = [[6, 7], [1, 2, 8]];
const VERDICTS = [
  'welcome', 'a later incarnation of this page is known there', 'it has the same name',
  'the other connection of the link is gone', 'it shuts down', 'a certificate does not carry the name',
  'the token is not valid', 'the token has expired', 'the token is for another name',
];

/**
 * What went wrong. `kind` is one of
 * - of `connect`: `refused`, `timeout`, `lost`, `protocol`;
 * - of `lookup`: `unknown`, `mismatch`, `denied`, `limit`, `timeout`, `unreachable`;
 * - of `tell`: `full`, `closed`, `too-large`, `expired`, with the `message` that was not sent in `value`;
 * - of `ask`: those, `timeout`, `no-answer`, and `unknown`: the link broke after it was written.
 */
export class LaneError extends Error {
  constructor(kind, text, value) {
    super(text ?? kind);
    this.name = 'LaneError';
    this.kind = kind;
    this.value = value;
  }
}

/** Bytes that are being written, little-endian. */
class Out {
  constructor() {
    this.bytes = new Uint8Array(128);
    this.view = new DataView(this.bytes.buffer);
    this.at = 0;
  }

  grow(count) {
    const needed = this.at + count;
    if (needed > this.bytes.length) {
      const bytes = new Uint8Array(Math.max(needed, 2 * this.bytes.length));
      bytes.set(this.bytes.subarray(0, this.at));
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer);
    }
    this.at = needed;
    return needed - count;
  }

  // The view is another one after it has grown.
  u8(value) { const at = this.grow(1); this.view.setUint8(at, value); return this; }
  u16(value) { const at = this.grow(2); this.view.setUint16(at, value, true); return this; }
  u32(value) { const at = this.grow(4); this.view.setUint32(at, value, true); return this; }
  u64(value) { const at = this.grow(8); this.view.setBigUint64(at, BigInt(value), true); return this; }

  raw(bytes) {
    const at = this.grow(bytes.length);
    this.bytes.set(bytes, at);
    return this;
  }

  text(value) {
    const bytes = new TextEncoder().encode(value);
    if (bytes.length > 0xffff) throw new LaneError('too-large', 'a text is longer than 65535 bytes');
    return this.u16(bytes.length).raw(bytes);
  }

  varint(value) {
    let rest = BigInt(value);
    for (; rest > 127n; rest >>= 7n) this.u8(Number(rest & 127n) | 128);
    return this.u8(Number(rest));
  }

  blob(bytes) { return this.varint(bytes.length).raw(bytes); }

  done() { return this.bytes.subarray(0, this.at); }
}

function frame(kind) {
  return new Out().u32(0).u8(kind);
}

/** The bytes of a frame, with its length in front. */
function finished(out) {
  out.view.setUint32(0, out.at - 4, true);
  return out.done();
}

/** Fields that are being read. Reading beyond the end throws a `RangeError`. */
class In {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
  }

  skip(count) { this.at += count; return this.at - count; }
  u8() { return this.view.getUint8(this.skip(1)); }
  u16() { return this.view.getUint16(this.skip(2), true); }
  u32() { return this.view.getUint32(this.skip(4), true); }
  u64() { return this.view.getBigUint64(this.skip(8), true); }
  number() { return Number(this.u64()); }

  varint() {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.u8();
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw new RangeError('a number is too long');
  }

  blob() { return this.take(Number(this.varint())); }

  take(count) {
    if (this.at + count > this.bytes.length) throw new RangeError('a frame ends before its fields');
    return this.bytes.subarray(this.skip(count), this.at);
  }

  text() { return decode(this.take(this.u16())); }
  rest() { return this.take(this.bytes.length - this.at); }
}

function decode(bytes) {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

/** One WebSocket, or what behaves like it, as a stream of bytes. */
class Stream {
  constructor(socket) {
    this.socket = socket;
    socket.binaryType = 'arraybuffer';
    this.buffer = new Uint8Array(0);
    this.error = null;
    this.onbytes = null;
    this.onend = null;
    /** Called when there is room again. */
    this.onroom = null;
    this.open = new Promise((resolve) => {
      socket.onopen = resolve;
      socket.addEventListener('close', resolve);
    });
    socket.onmessage = ({ data }) => {
      if (!(data instanceof ArrayBuffer)) return this.end('it sends text');
      return this.take(new Uint8Array(data));
    };
    socket.onclose = ({ code, reason }) => {
      const why = code ? ` (${code}${reason ? `: ${reason}` : ''})` : '';
      this.end(`the connection was closed${why}`);
    };
  }

  take(part) {
    const bytes = new Uint8Array(this.buffer.length + part.length);
    bytes.set(this.buffer);
    bytes.set(part, this.buffer.length);
    this.buffer = bytes;
    this.onbytes?.(part.length);
  }

  end(error) {
    this.error ??= error;
    this.socket.close();
    this.onend?.(this.error);
  }

  send(bytes) {
    for (let at = 0; at < bytes.length; at += PIECE) this.socket.send(bytes.subarray(at, at + PIECE));
  }

  hasRoom() { return true; }

  /** The next `count` bytes. For the handshake; afterwards `onbytes` is called. */
  async read(count) {
    while (this.buffer.length < count) {
      if (this.error) throw new LaneError('lost', this.error);
      await new Promise((resolve) => { this.onbytes = resolve; this.onend = resolve; });
    }
    this.onbytes = this.onend = null;
    const bytes = this.buffer.subarray(0, count);
    this.buffer = this.buffer.subarray(count);
    return new In(bytes);
  }
}

/**
 * One data channel as a stream of bytes. Each message on high begins with its number: the node sends them without an
 * order, so that they overtake what waits on low.
 */
class ChannelStream extends Stream {
  #isNumbered; #sent = 0; #taken = 0; #early = new Map(); #held = 0;

  constructor(channel, isNumbered) {
    super(channel);
    this.#isNumbered = isNumbered;
    channel.bufferedAmountLowThreshold = BUFFERED / 2;
    channel.onbufferedamountlow = () => this.onroom?.();
  }

  hasRoom() { return this.socket.bufferedAmount < BUFFERED; }

  send(bytes) {
    const length = this.#isNumbered ? 4 : 0;
    for (let at = 0; at < bytes.length && this.socket.readyState === 'open'; at += MESSAGE - length) {
      const piece = bytes.subarray(at, at + MESSAGE - length);
      const message = new Uint8Array(length + piece.length);
      if (this.#isNumbered) new DataView(message.buffer).setUint32(0, this.#sent++ >>> 0, true);
      message.set(piece, length);
      try {
        this.socket.send(message);
      } catch (error) {
        return this.end(`the data channel takes no more: ${error}`);
      }
    }
    return undefined;
  }

  take(message) {
    if (!this.#isNumbered) return super.take(message);
    if (message.length < 4) return this.end('a message has no number');
    const number = new DataView(message.buffer).getUint32(0, true);
    const ahead = (number - this.#taken) >>> 0;
    if (ahead > 0x7fffffff || this.#early.has(number)) return this.end('a message has the number of another one');
    this.#early.set(number, message.subarray(4));
    this.#held += message.length + EARLY;
    for (let next; (next = this.#early.get(this.#taken)) !== undefined && !this.error;) {
      this.#early.delete(this.#taken);
      this.#held -= next.length + 4 + EARLY;
      this.#taken = (this.#taken + 1) >>> 0;
      super.take(next);
    }
    if (this.#held > MAX_EARLY) this.end('too many messages wait for an earlier one');
    return undefined;
  }
}

/** The servers of `Link` headers in the way of WHIP. */
function iceServers(links) {
  const servers = [...(links ?? '').matchAll(/<([^>]*)>((?:\s*;\s*[\w-]+="(?:[^"\\]|\\.)*")*)/g)];
  return servers.flatMap(([, urls, rest]) => {
    const parameters = [...rest.matchAll(/([\w-]+)="((?:[^"\\]|\\.)*)"/g)];
    const { rel, username, credential } = Object.fromEntries(
      parameters.map(([, name, value]) => [name, value.replace(/\\(.)/g, '$1')]),
    );
    return rel === 'ice-server' ? [{ urls, ...(username !== undefined && { username, credential }) }] : [];
  });
}

/** Posts an offer, and returns the two channels of the peer connection. */
async function openChannels(url, { iceServers: own, timeout, media }) {
  const peer = new RTCPeerConnection({ iceServers: own, bundlePolicy: 'max-bundle' });
  const streams = [HIGH, LOW].map((part) => {
    const channel = peer.createDataChannel(['high', 'low'][part], { negotiated: true, id: part, protocol: 'lanemesh' });
    return new ChannelStream(channel, part === HIGH);
  });
  const loose = peer.createDataChannel('loose', { negotiated: true, id: 2, ordered: false, maxRetransmits: 0, protocol: 'lanemesh' });
  const sections = declare(peer, media);
  const spoken = sections.length > 0
    ? peer.createDataChannel('media', { negotiated: true, id: 3, protocol: 'lanemesh' })
    : null;
  const end = (error) => streams.forEach((stream) => stream.end(error));
  for (const { socket } of streams) {
    // What was written before the end is on its way for a moment.
    socket.addEventListener('close', () => setTimeout(() => peer.close(), 1000));
  }
  peer.onconnectionstatechange = () => {
    if (['failed', 'closed'].includes(peer.connectionState)) end(`the peer connection is ${peer.connectionState}`);
  };
  try {
    const offer = await peer.createOffer();
    const answer = await fetch(url, {
      method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: offer.sdp, signal: AbortSignal.timeout(timeout),
    });
    const text = await answer.text();
    if (!answer.ok) throw new LaneError('refused', `the offer was refused with status ${answer.status}: ${text}`);
    const servers = [...own, ...iceServers(answer.headers.get('Link'))];
    if (servers.length > 0) peer.setConfiguration({ iceServers: servers });
    await peer.setLocalDescription(offer);
    await peer.setRemoteDescription({ type: 'answer', sdp: text });
    const resource = answer.headers.get('Location');
    if (resource) {
      const leave = () => {
        fetch(new URL(resource, url), { method: 'DELETE', keepalive: true }).catch(() => {});
      };
      addEventListener('pagehide', leave);
      streams[HIGH].socket.addEventListener('close', () => removeEventListener('pagehide', leave));
    }
  } catch (error) {
    end('given up');
    peer.close();
    if (error instanceof LaneError) throw error;
    throw new LaneError(error.name === 'TimeoutError' ? 'timeout' : 'lost', `no answer to the offer: ${error}`);
  }
  return Object.assign(streams, { loose, media: spoken ? { spoken, sections } : null });
}

/** Codecs that the node knows. All others would only make the offer long. */
const RTP_CODECS = { audio: ['audio/opus'], video: ['video/vp8', 'video/vp9', 'video/h264', 'video/rtx'] };

/** Adds a section to an offer for each track that there may be at once. */
function declare(peer, media) {
  return [['send', 'sendonly'], ['receive', 'recvonly']].flatMap(([way, direction]) => (media?.[way] ?? []).map((kind) => {
    const transceiver = peer.addTransceiver(kind, { direction });
    const all = (way === 'send' ? RTCRtpSender : RTCRtpReceiver).getCapabilities(kind)?.codecs ?? [];
    const profiles = new Set();
    const codecs = all.filter(({ mimeType, sdpFmtpLine = '' }) => {
      if (!RTP_CODECS[kind].includes(mimeType.toLowerCase())) return false;
      // One profile of each codec, or the offer gets long: of H.264 that which everybody has, in any number of packets.
      if (mimeType === 'video/rtx') return true;
      if (/h264/i.test(mimeType) && !/packetization-mode=1.*42e01f/i.test(sdpFmtpLine)) return false;
      if (profiles.has(mimeType)) return false;
      return profiles.add(mimeType);
    });
    if (codecs.length > 0) transceiver.setCodecPreferences(codecs);
    return { way, kind, transceiver, isFree: true };
  }));
}

/** What streams and tracks carry: where it is registered, its type, and how it is written as JSON and in postcard. */
const CHUNKS = {
  prefix: 'lanemesh/streams',
  type: 'lanemesh/stream',
  toJson: ({ sequence, payload }) => ({ sequence, payload: [...payload] }),
  fromJson: ({ sequence, payload }) => ({ sequence, payload: Uint8Array.from(payload) }),
  write: (out, { sequence, payload }) => out.varint(sequence).blob(payload),
  read: (fields) => ({ sequence: Number(fields.varint()), payload: fields.blob() }),
};
const KINDS = ['Audio', 'Video'];
const FRAMES = {
  prefix: 'lanemesh/media',
  type: 'lanemesh/media',
  toJson: ({ kind, codec, timestamp, data }) => ({ kind, codec, timestamp, data: [...data] }),
  fromJson: (content) => ({ ...content, data: Uint8Array.from(content.data) }),
  write: (out, { kind, codec, timestamp, data }) => {
    if (!KINDS.includes(kind)) throw new LaneError('mismatch', `a frame is Audio or Video, not ${kind}`);
    return out.varint(KINDS.indexOf(kind)).blob(new TextEncoder().encode(codec)).varint(timestamp >>> 0).blob(data);
  },
  read: (fields) => ({
    kind: KINDS[Number(fields.varint())],
    codec: decode(fields.blob()),
    timestamp: Number(fields.varint()),
    data: fields.blob(),
  }),
};

/** Bytes before each piece of a message that may be lost, pieces of one, and messages of which pieces are missing. */
const [LOOSE_HEAD, MAX_PIECES, MAX_PARTIAL] = [6, 16, 4];
/** How many messages later the missing pieces of one may come. */
const MAX_BEHIND = 64;
/** Bytes that may wait on the channel for what may be lost. */
const LOOSE_BUFFERED = 64 << 10;

/** The data channel for messages that may be lost, which are counted. */
class Loose {
  #channel; #number = 0; #partial = new Map(); #begun = 0; #whole = 0;

  /** `onmessage` returns whether it has taken a message. */
  constructor(channel, onmessage) {
    this.#channel = channel;
    this.counts = { sent: 0, passedOver: 0, arrived: 0, lost: 0, refused: 0 };
    channel.binaryType = 'arraybuffer';
    channel.onmessage = ({ data }) => {
      let isTaken = false;
      try {
        const message = this.#put(new In(new Uint8Array(data)));
        if (message === null) return;
        isTaken = onmessage(message);
      } catch {} // what cannot be read is refused
      this.counts[isTaken ? 'arrived' : 'refused'] += 1;
    };
  }

  /** Sends a message, whole or not at all. Returns whether there was room. */
  send(bytes) {
    const isSent = this.#trySend(bytes);
    this.counts[isSent ? 'sent' : 'passedOver'] += 1;
    return isSent;
  }

  #trySend(bytes) {
    const size = MESSAGE - LOOSE_HEAD;
    const count = Math.ceil(bytes.length / size);
    const { readyState, bufferedAmount } = this.#channel;
    if (count > MAX_PIECES || readyState !== 'open' || bufferedAmount > LOOSE_BUFFERED) return false;
    const number = this.#number++ >>> 0;
    try {
      for (let index = 0; index < count; index += 1) {
        const piece = bytes.subarray(index * size, (index + 1) * size);
        this.#channel.send(new Out().u32(number).u8(index).u8(count).raw(piece).done());
      }
    } catch {
      return false;
    }
    return true;
  }

  /** Takes a piece. Returns the message if it is whole. */
  #put(fields) {
    const [low, index, count] = [fields.u32(), fields.u8(), fields.u8()];
    const piece = fields.rest();
    if (index >= count || count > MAX_PIECES) throw new RangeError('no such piece');
    const number = this.#begun + ((low - this.#begun) | 0);
    this.#begun = Math.max(this.#begun, number + 1);
    for (const old of this.#partial.keys()) if (old + MAX_BEHIND < this.#begun) this.#partial.delete(old);
    const message = count === 1 ? piece : this.#add(number, index, count, piece);
    if (message !== null) this.#whole += 1;
    this.counts.lost = Math.max(0, this.#begun - this.#whole - this.#partial.size);
    return message;
  }

  #add(number, index, count, piece) {
    if (!this.#partial.has(number)) {
      if (number + MAX_BEHIND < this.#begun) return null; // given up
      if (this.#partial.size === MAX_PARTIAL) {
        const oldest = Math.min(...this.#partial.keys());
        if (oldest > number) return null;
        this.#partial.delete(oldest);
      }
      this.#partial.set(number, { count, pieces: new Map() });
    }
    const known = this.#partial.get(number);
    if (known.count !== count) throw new RangeError('a message has another number of pieces');
    known.pieces.set(index, piece);
    if (known.pieces.size < count) return null;
    this.#partial.delete(number);
    const pieces = [...known.pieces].sort(([one], [other]) => one - other);
    return pieces.reduce((all, [, part]) => all.raw(part), new Out()).done();
  }
}

/** Sends to a callback on the node, which a stream or a track has there. */
class Sending {
  #link; #name; #handle; #format;

  constructor(link, name, handle, format, isLoose) {
    this.#link = link;
    this.#name = name;
    this.#handle = handle;
    this.#format = format;
    /** Whether what is sent may be lost on the way. */
    this.isLoose = isLoose && link.loose !== null;
    /** Contents for which there was no room. */
    this.passedOver = 0;
    /** Fulfilled when the receiver, or the link to it, is gone. */
    this.closed = handle.closed;
    handle.closed.then(() => { this.#link = null; });
  }

  /** A promise if it is reliable; else whether there was room. */
  put(content) {
    if (!this.#link) throw new LaneError('closed', 'the receiver is gone', content);
    const me = this.#link.page;
    if (!this.isLoose) {
      const parcel = { node: me.name, incarnation: Number(me.incarnation), content: this.#format.toJson(content), taken: null };
      return this.#handle.tell(parcel);
    }
    const out = new Out().u8(0).text(this.#name); // in postcard, for this export
    out.blob(new TextEncoder().encode(me.name)).varint(me.incarnation);
    const message = this.#format.write(out, content).u8(0).done();
    if (message.length > MAX_PIECES * (MESSAGE - LOOSE_HEAD)) throw new LaneError('too-large', 'it is larger than the link carries at once', content);
    const isSent = this.#link.loose.send(message);
    if (!isSent) this.passedOver += 1;
    return isSent;
  }

  close() { this.#handle.close(); }
}

/** The sending end of a track, made by `openMediaTrack`. */
export class MediaTrack extends Sending {
  /**
   * Sends a frame `{ kind, codec, timestamp, data }`, with `'Audio'` or `'Video'` as its kind and a `Uint8Array` as its
   * data, without waiting. Returns whether there was room for it. By data channels it may be lost, or overtaken.
   */
  send(frame) {
    const put = this.put(frame);
    if (this.isLoose) return put;
    put.catch(() => { this.passedOver += 1; });
    return true;
  }
}

/** The sending end of a stream, made by `openStream`. */
export class StreamSender extends Sending {
  #next = 0;

  /**
   * Sends a chunk, which is a `Uint8Array`, and returns its number: of a reliable stream, when it is written to the link. With
   * `'latency-first'` it does not wait, and a chunk may be lost on the way, or passed over where there is no room.
   */
  async send(payload) {
    const sequence = this.#next++;
    await this.put({ sequence, payload });
    return sequence;
  }
}

/** What both ends say of sections, each with a number. */
const [SECTION_ASK, SECTION_CLOSE, SECTION_ANSWER] = [1, 2, 3];
/** Answers besides refusals: on this section; in a lane. */
const [ON_SECTION, IN_LANE] = [255, 254];

/** The sections of the link's offer: which of them has a track. */
class Sections {
  #spoken; #sections; #link; #open; #next = 0; #asked = new Map(); #given = new Map();

  constructor(link, { spoken, sections }) {
    this.#link = link;
    this.#spoken = spoken;
    this.#sections = sections;
    spoken.binaryType = 'arraybuffer';
    this.#open = new Promise((resolve) => {
      if (spoken.readyState === 'open') resolve();
      spoken.onopen = resolve;
    });
    spoken.onmessage = ({ data }) => {
      try {
        this.#take(new In(new Uint8Array(data)));
      } catch (error) {
        link.close(`the node breaks the protocol: ${error.message ?? error}`);
      }
    };
  }

  /** Takes a free section, which `release` gives back. None if all of that way and kind have tracks. */
  take(way, kind) {
    const section = this.#sections.find((it) => it.isFree && it.way === way && it.kind === kind);
    if (section) section.isFree = false;
    return section;
  }

  release(section) { section.isFree = true; }

  #say(out) { if (this.#spoken.readyState === 'open') this.#spoken.send(out.done()); }

  /** Tells the node that a section has frames for a track. Returns the number to close it by. */
  async bind(section, name, timeout) {
    const number = this.#next++ >>> 0;
    await this.#open;
    const answer = new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#asked.delete(number);
        this.unbind(number);
        reject(new LaneError('timeout', 'no answer in time'));
      }, timeout);
      const settle = (act) => (value) => { clearTimeout(timer); act(value); };
      this.#asked.set(number, { resolve: settle(resolve), reject: settle(reject) });
    });
    this.#say(new Out().u8(SECTION_ASK).u32(number).text(section.transceiver.mid).text(name));
    await answer;
    return number;
  }

  unbind(number) { this.#say(new Out().u8(SECTION_CLOSE).u32(number)); }

  #take(fields) {
    const [kind, number] = [fields.u8(), fields.u32()];
    switch (kind) {
      case SECTION_ASK: {
        fields.text();
        return this.#give(number, fields.text());
      }
      case SECTION_CLOSE: {
        this.#given.get(number)?.end();
        return this.#given.delete(number);
      }
      case SECTION_ANSWER: {
        const [what, text] = [fields.u8(), fields.text()];
        const asked = this.#asked.get(number);
        this.#asked.delete(number);
        if (what === ON_SECTION) return asked?.resolve();
        return asked?.reject(new LaneError(REFUSALS[what] ?? 'denied', text));
      }
      default: throw new Error('a message about a section is of an unknown kind');
    }
  }

  /** The node asks for a section for a track of this page. */
  #give(number, name) {
    const answer = (what, text) => this.#say(new Out().u8(SECTION_ANSWER).u32(number).u8(what).text(text));
    const exported = this.#link.page.exports.get(name);
    if (!exported) return answer(REFUSALS.indexOf('unknown'), `${name} is not exported`);
    if (!exported.plays) return answer(IN_LANE, '');
    const { kind, callback } = exported.plays;
    const section = this.take('receive', kind);
    if (!section) return answer(REFUSALS.indexOf('limit'), `no section for ${kind} is free`);
    let end;
    const ended = new Promise((resolve) => {
      end = () => { this.release(section); resolve(); };
    });
    this.#given.set(number, { exported, end });
    answer(ON_SECTION, section.transceiver.mid);
    try {
      callback(section.transceiver.receiver.track, this.#link.peer, ended);
    } catch (error) {
      console.error(error);
    }
    return undefined;
  }

  /** The track is withdrawn: its sections are free. */
  withdraw(exported) {
    for (const [number, given] of this.#given) {
      if (given.exported !== exported) continue;
      given.end();
      this.#given.delete(number);
    }
  }

  close() {
    const down = new LaneError('unreachable', 'the link is down');
    for (const { reject } of this.#asked.values()) reject(down);
    for (const { end } of this.#given.values()) end();
    this.#asked.clear();
    this.#given.clear();
  }
}

/** A `MediaStreamTrack` that goes to a callback on the node, made by `sendTrack`. */
export class SentTrack {
  #close;

  constructor(section, closed, close) {
    /** The `RTCRtpSender`, for `setParameters`, `getStats` and `replaceTrack`. */
    this.sender = section.transceiver.sender;
    this.#close = close;
    /** Fulfilled when it is closed, the receiver is gone, or the link is down. */
    this.closed = closed.then(() => close());
  }

  /** Sends no more. The source is not stopped. */
  close() { return this.#close(); }
}

function random(count) {
  return crypto.getRandomValues(new Uint8Array(count));
}

/** A token as bytes. */
function tokenBytes(text) {
  if (!/^([0-9a-f]{2})*$/i.test(text)) throw new LaneError('refused', 'that is no token');
  return Uint8Array.from(text.match(/../g) ?? [], (byte) => parseInt(byte, 16));
}

/** Says who is here, and reads who is there. */
async function greet(stream, me, link, part) {
  await stream.open;
  if (stream.error) throw new LaneError('lost', stream.error);
  const name = new TextEncoder().encode(me.name);
  const out = new Out().u32(MAGIC).u16(VERSION).u8(TOKEN | part).u64(link);
  out.u64(me.incarnation).raw(random(32)).u8(name.length).raw(name);
  stream.send(out.u16(me.token.length).raw(me.token).done());
  const start = await stream.read(4 + 2);
  if (start.u32() !== MAGIC) throw new LaneError('protocol', 'the other end does not speak this protocol');
  const version = start.u16();
  if (version !== VERSION) {
    throw new LaneError('protocol', `the other end speaks version ${version} of the protocol, and this page version ${VERSION}`);
  }
  const head = await stream.read(8 + 32 + 1);
  const incarnation = head.u64();
  head.skip(32);
  const rest = await stream.read(head.u8() + 1);
  const peer = { name: decode(rest.take(rest.bytes.length - 1)), incarnation };
  const verdict = rest.u8();
  if (verdict !== 0) {
    const error = new LaneError('refused', `refused by the other end: ${VERDICTS[verdict] ?? verdict}`);
    error.verdict = verdict;
    throw error;
  }
  return peer;
}

/** How much of a class the other end has room for. */
class Credit {
  constructor(messages, bytes) {
    this.limit = { messages: Math.max(messages, 1), bytes };
    this.sent = { messages: 0, bytes: 0 };
    this.accepted = { messages: 0, bytes: 0 };
  }

  allows(size) {
    const outstanding = this.sent.bytes - this.accepted.bytes;
    return this.unconfirmed() < this.limit.messages
      && (outstanding === 0 || outstanding + size <= this.limit.bytes);
  }

  spend(size) {
    this.sent.messages += 1;
    this.sent.bytes += size;
  }

  confirm(messages, bytes) {
    if (messages > this.sent.messages || bytes > this.sent.bytes) throw new Error('it confirms what was not sent');
    this.accepted = { messages, bytes };
  }

  /** The other end has more room. It never has less. */
  grow(messages, bytes) {
    this.limit = { messages: Math.max(this.limit.messages, messages), bytes: Math.max(this.limit.bytes, bytes) };
  }

  unconfirmed() { return this.sent.messages - this.accepted.messages; }
}

/**
 * How much of a class an object of this page has room for, and what was reported of it. The room grows, up to `most`, to
 * what the object accepts in a round trip: with less, the node would wait for reports that are on their way.
 */
export class Owed {
  constructor(first, most) {
    this.room = { messages: Math.max(first.messages, 1), bytes: first.bytes };
    this.step = { messages: Math.ceil(this.room.messages / 2), bytes: Math.ceil(first.bytes / 2) };
    this.most = most;
    const none = () => ({ messages: 0, bytes: 0 });
    [this.received, this.accepted, this.reported] = [none(), none(), none()];
    this.since = null;
  }

  receive(size) {
    const { received, reported, room } = this;
    const outstanding = received.bytes - reported.bytes;
    const hasRoom = received.messages - reported.messages < room.messages
      && (outstanding === 0 || outstanding + size <= room.bytes);
    if (!hasRoom) throw new Error('it sends without credit');
    received.messages += 1;
    received.bytes += size;
  }

  accept(size) {
    this.accepted.messages += 1;
    this.accepted.bytes += size;
  }

  /** What to report: when as much as a step is free again, or anything is if it is wanted. */
  report(isWanted) {
    const messages = this.accepted.messages - this.reported.messages;
    const bytes = this.accepted.bytes - this.reported.bytes;
    const isDue = messages >= this.step.messages || bytes >= this.step.bytes;
    if (messages === 0 || !(isDue || isWanted)) return null;
    this.reported = { ...this.accepted };
    return this.reported;
  }

  /** How much room there is from now on, if that is more than before. To be called after a report. */
  grow(roundTrip, now) {
    const { at, accepted } = this.since ??= { at: now, accepted: { ...this.accepted } };
    const span = now - at;
    if (span <= 0 || span < roundTrip) return null;
    this.since = { at: now, accepted: { ...this.accepted } };
    let hasGrown = false;
    for (const unit of ['messages', 'bytes']) {
      const wanted = (this.accepted[unit] - accepted[unit]) * (roundTrip / span) * 1.25 + this.step[unit];
      const room = Math.max(this.room[unit], Math.floor(Math.min(wanted, this.most[unit])));
      hasGrown ||= room > this.room[unit];
      this.room[unit] = room;
    }
    return hasGrown ? this.room : null;
  }
}

/**
 * A handle of an actor of the other node, made by `lookup`. It ends with the actor or the link; `closed` is then
 * fulfilled with `{ kind, text }`, whose kind is one of `normal`, `stopped`, `failed`, `panicked`, `killed`,
 * `unhealthy` and `unreachable`.
 */
export class Handle {
  #link; #number; #credits; #queues = [[], []]; #ended = null; #close; #idle = []; #isConfirmSent = false; #isClosing = false;

  constructor(link, number, credits) {
    this.#link = link;
    this.#number = number;
    this.#credits = credits;
    this.closed = new Promise((resolve) => { this.#close = resolve; });
  }

  /**
   * Sends a message, with low priority unless `high` is set. Fulfilled when it is written to the link: it arrives
   * at most once. `expires` is for how many milliseconds it is worth something to the actor.
   */
  tell(message, { high = false, expires } = {}) {
    return this.#send(high ? HIGH : LOW, message, expires, false);
  }

  /**
   * Sends the message that `make` makes with a reply in it, with high priority unless `low` is set, and returns
   * the answer. `timeout` is in milliseconds.
   */
  async ask(make, { low = false, timeout = 5000 } = {}) {
    const slot = this.#link.nextSlot();
    const message = make({ $reply: slot });
    const answer = new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#link.asks.delete(slot);
        reject(new LaneError('timeout', `no answer within ${timeout} ms`));
      }, timeout);
      this.#link.asks.set(slot, { resolve, reject, timer });
    });
    answer.catch(() => {}); // it may fail while the message still waits
    try {
      await Promise.race([this.#send(low ? LOW : HIGH, message, timeout, true), answer]);
    } catch (error) {
      this.#link.takeAsk(slot);
      throw error;
    }
    return answer;
  }

  /** Fulfilled when everything that was sent has been accepted by the actor's mailbox. */
  idle() {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(new LaneError('closed', this.#ended.kind));
      this.#idle.push({ resolve, reject });
      this.#settle();
    });
  }

  /** Sends what waits, and gives the handle up. */
  close() {
    this.#isClosing = true;
    this.#settle();
  }

  /** Ends the actor, if this page may. */
  stop() { this.#order(0); }
  drain() { this.#order(1); }
  kill() { this.#order(2); }

  #order(order) {
    if (!this.#ended) this.#link.send(HIGH, frame(KIND.order).u32(this.#number).u8(order));
  }

  #send(part, message, expires, isAsk) {
    return new Promise((resolve, reject) => {
      const fail = (kind, text) => reject(new LaneError(kind, text, message));
      if (this.#ended || this.#isClosing) return fail('closed', `the actor is gone: ${this.#ended?.kind ?? 'closed'}`);
      const queue = this.#queues[part];
      if (queue.length >= this.#link.options.capacity[part]) return fail('full', 'too many messages wait');
      const payload = new TextEncoder().encode(JSON.stringify(message));
      if (payload.length + 32 > this.#link.options.maxFrame) return fail('too-large', 'the message is larger than a frame');
      const deadline = expires === undefined ? Infinity : performance.now() + expires;
      queue.push({ payload, deadline, isAsk, resolve, fail });
      this.pump();
    });
  }

  /** Writes what there is credit and room for; high first. */
  pump() {
    for (const part of [HIGH, LOW]) {
      const queue = this.#queues[part];
      while (queue.length > 0 && !this.#ended) {
        const { payload, deadline, isAsk, resolve, fail } = queue[0];
        const left = deadline - performance.now();
        if (left <= 0) {
          queue.shift();
          fail('expired', 'the message has expired before it could be written');
          continue;
        }
        if (!this.#credits[part].allows(payload.length) || !this.#link.hasRoom(part)) break;
        queue.shift();
        this.#credits[part].spend(payload.length);
        this.#isConfirmSent = false;
        const expires = left === Infinity ? 0 : Math.max(1, Math.round(left * 1000));
        const out = frame(isAsk ? KIND.ask : KIND.message).u32(this.#number).u64(expires).raw(payload);
        this.#link.send(part, out);
        resolve();
      }
    }
    this.#settle();
  }

  confirm(part, messages, bytes) {
    this.#credits[part].confirm(messages, bytes);
    this.pump();
  }

  /** What may be on its way, high and low: `{ messages, bytes }`. It grows to what the actor accepts in a round trip. */
  get room() { return this.#credits.map(({ limit }) => ({ ...limit })); }

  grow(part, messages, bytes) {
    this.#credits[part].grow(messages, bytes);
    this.pump();
  }

  /** What is to be done once everything is written, and confirmed. */
  #settle() {
    if (this.#ended || this.#queues.some((queue) => queue.length > 0)) return;
    if (this.#isClosing) {
      this.#link.closeLane(this.#number);
      this.#link.opened.delete(this.#number);
      return this.end('normal');
    }
    if (this.#idle.length === 0) return;
    if (this.#credits.some((credit) => credit.unconfirmed() > 0)) {
      if (this.#isConfirmSent) return;
      this.#isConfirmSent = true;
      for (const part of [HIGH, LOW]) this.#link.send(part, frame(KIND.confirm).u32(this.#number));
      return;
    }
    for (const { resolve } of this.#idle.splice(0)) resolve();
  }

  end(kind, text = '') {
    if (this.#ended) return;
    this.#ended = { kind, text };
    for (const { fail } of this.#queues.flatMap((queue) => queue.splice(0))) fail('closed', `the actor is gone: ${kind}`);
    for (const { reject } of this.#idle.splice(0)) reject(new LaneError('closed', kind));
    this.#close(this.#ended);
  }
}

/** A question in a message: answer it once. One that is forgotten tells the asker that there is no answer. */
export class Reply {
  #link; #slot;

  constructor(link, slot) {
    this.#link = link;
    this.#slot = slot;
    forgotten.register(this, { link, slot }, this);
  }

  send(value) {
    if (this.#slot === null) throw new LaneError('closed', 'it is answered');
    const payload = new TextEncoder().encode(JSON.stringify(value ?? null));
    if (payload.length + 32 > this.#link.options.maxFrame) throw new LaneError('too-large', 'the answer is larger than a frame', value);
    this.#link.send(HIGH, frame(KIND.answer).u64(this.#slot).raw(payload));
    this.#over();
  }

  /** There will be no answer. */
  drop() {
    if (this.#slot === null) return;
    this.#link.send(HIGH, frame(KIND.noAnswer).u64(this.#slot));
    this.#over();
  }

  #over() {
    this.#slot = null;
    forgotten.unregister(this);
  }
}

const forgotten = new FinalizationRegistry(({ link, slot }) => link.send(HIGH, frame(KIND.noAnswer).u64(slot)));

/** An object of the page that can be told and asked: one message at a time, high before low. */
class Exported {
  #queues = [[], []]; #isRunning = false;

  constructor(type, versions, actor) {
    Object.assign(this, { type, versions, actor });
  }

  put(part, entry) {
    this.#queues[part].push(entry);
    if (!this.#isRunning) this.#run();
  }

  async #run() {
    this.#isRunning = true;
    for (;;) {
      const part = this.#queues[HIGH].length > 0 ? HIGH : LOW;
      const entry = this.#queues[part].shift();
      if (entry === undefined) break;
      const { lane, size, deadline, message, replies } = entry;
      if (performance.now() > deadline || lane.isOver) {
        for (const reply of replies) reply.drop();
      } else {
        try {
          await this.actor[part === HIGH ? 'high' : 'low'](message);
        } catch (error) {
          for (const reply of replies) reply.drop();
          lane.fail(String(error));
        }
      }
      lane.accept(part, size);
    }
    this.#isRunning = false;
  }
}

/** A lane that the other node has opened to an object of this page. */
class OwnLane {
  constructor(link, number, exported, grows) {
    Object.assign(this, { link, number, exported, grows, isOver: false, queued: 0, isConfirmWanted: false });
    const { credit, creditGrowth } = link.options;
    this.owed = credit.map((first) => new Owed(first, {
      messages: creditGrowth * first.messages,
      bytes: Math.min(creditGrowth * first.bytes, MAX_GROWN),
    }));
    this.closed = [false, false];
  }

  message(part, expires, payload) {
    this.owed[part].receive(payload.length);
    if (this.isOver) return;
    const replies = [];
    const revive = (_, value) => {
      const isReply = value !== null && typeof value === 'object' && typeof value.$reply === 'string';
      if (!isReply) return value;
      const reply = new Reply(this.link, BigInt(value.$reply));
      replies.push(reply);
      return reply;
    };
    let message;
    try {
      message = JSON.parse(decode(payload), revive);
    } catch (error) {
      return this.fail(`a message cannot be read: ${error}`);
    }
    const deadline = expires === 0 ? Infinity : performance.now() + expires / 1000;
    this.queued += 1;
    this.exported.put(part, { lane: this, size: payload.length, deadline, message, replies });
  }

  accept(part, size) {
    this.queued -= 1;
    this.owed[part].accept(size);
    this.report(false);
    this.#endIfClosed();
  }

  report(isWanted) {
    const isSettled = this.isConfirmWanted && this.queued === 0;
    if (isSettled) this.isConfirmWanted = false;
    for (const part of [HIGH, LOW]) {
      const accepted = this.isOver ? null : this.owed[part].report(isWanted || isSettled);
      if (accepted === null) continue;
      this.#count(KIND.credit, part, accepted);
      const roundTrip = this.link.roundTrip[part];
      const room = this.grows && roundTrip !== null ? this.owed[part].grow(roundTrip, performance.now()) : null;
      if (room !== null) this.#count(KIND.room, part, room);
    }
  }

  #count(kind, part, { messages, bytes }) {
    this.link.send(HIGH, frame(kind).u32(this.number).u8(part).u64(messages).u64(bytes));
  }

  confirm() {
    this.isConfirmWanted = true;
    this.report(false);
  }

  close(part) {
    this.closed[part] = true;
    this.#endIfClosed();
  }

  #endIfClosed() {
    if (this.closed[HIGH] && this.closed[LOW] && this.queued === 0) this.forget();
  }

  /** Ends the lane, and tells the other end why. */
  fail(text) { this.finish(2, text); }

  finish(why, text) {
    if (this.isOver) return;
    this.link.send(HIGH, frame(KIND.ended).u32(this.number).u8(why).text(text.slice(0, 1000)));
    this.forget();
  }

  forget() {
    this.isOver = true;
    this.link.owned.delete(this.number);
  }
}

/** Two connections to one incarnation of a node. */
class Link {
  constructor(page, streams, peer) {
    Object.assign(this, { page, streams, peer, options: page.options, isDown: false });
    this.opened = new Map();
    this.opening = new Map();
    this.owned = new Map();
    this.asks = new Map();
    this.nextLane = 0;
    this.slot = 0n;
    this.low = { sent: 0, arrived: 0, received: 0, reported: 0 };
    this.heard = [performance.now(), performance.now()];
    // In milliseconds: of high the shortest, since its own messages make the queue in which the others stand; and the last.
    this.roundTrip = [null, null];
    this.ping = null;
    this.down = new Promise((resolve) => { this.resolveDown = resolve; });
    streams.forEach((stream, part) => {
      stream.onbytes = (count) => this.onBytes(part, count);
      stream.onend = (error) => this.close(error);
      stream.onroom = () => this.opened.forEach((handle) => handle.pump());
    });
    this.loose = streams.loose ? new Loose(streams.loose, (message) => this.onLoose(new In(message))) : null;
    this.sections = streams.media ? new Sections(this, streams.media) : null;
    this.timer = setInterval(() => {
      if (performance.now() - Math.min(...this.heard) > this.options.deadAfter) this.close('the node is silent');
    }, 500);
    // What came together with the end of the handshake.
    streams.forEach((stream, part) => {
      this.onBytes(part, stream.buffer.length);
      if (stream.error) this.close(stream.error);
    });
  }

  send(part, out) {
    if (this.isDown) return;
    const bytes = finished(out);
    if (part === LOW) this.low.sent += bytes.length;
    this.streams[part].send(bytes);
  }

  /** Whether a message may be written: on low, not more than the window is on its way. */
  hasRoom(part) {
    return this.streams[part].hasRoom() && (part === HIGH || this.low.sent - this.low.arrived < this.options.window);
  }

  nextSlot() {
    this.slot += 1n;
    return String(this.slot);
  }

  takeAsk(slot) {
    const ask = this.asks.get(slot);
    if (ask) clearTimeout(ask.timer);
    this.asks.delete(slot);
    return ask;
  }

  /** Measures the round trip. */
  measure() {
    this.ping = { number: (this.ping?.number ?? 0n) + 1n, at: performance.now() };
    this.send(HIGH, frame(KIND.ping).u64(this.ping.number));
  }

  onPong(number) {
    if (this.ping?.number !== number) return;
    const last = performance.now() - this.ping.at;
    this.roundTrip = [Math.min(last, this.roundTrip[HIGH] ?? last), last];
  }

  onBytes(part, count) {
    if (this.isDown) return;
    this.heard[part] = performance.now();
    if (part === LOW) {
      this.low.received += count;
      if (this.low.received - this.low.reported >= STEP) {
        this.low.reported = this.low.received;
        this.send(HIGH, frame(KIND.received).u64(this.low.received));
      }
    }
    const stream = this.streams[part];
    try {
      while (!this.isDown && stream.buffer.length >= 4) {
        const { buffer } = stream;
        const length = new DataView(buffer.buffer, buffer.byteOffset).getUint32(0, true);
        if (length > this.options.maxFrame) throw new Error('a frame is larger than allowed');
        if (buffer.length < 4 + length) break;
        stream.buffer = buffer.subarray(4 + length);
        this.onFrame(part, new In(buffer.subarray(4, 4 + length)));
      }
    } catch (error) {
      this.close(`the node violates the protocol: ${error.message}`);
    }
  }

  onFrame(part, fields) {
    const kind = fields.u8();
    switch (kind) {
      case KIND.message:
      case KIND.ask: {
        const lane = this.owned.get(fields.u32());
        const expires = fields.number();
        return lane?.message(part, expires, fields.rest());
      }
      case KIND.answer: {
        const ask = this.takeAsk(String(fields.u64()));
        return ask?.resolve(JSON.parse(decode(fields.rest())));
      }
      case KIND.noAnswer:
        return this.takeAsk(String(fields.u64()))?.reject(new LaneError('no-answer', 'the actor gives no answer'));
      case KIND.credit: {
        const handle = this.opened.get(fields.u32());
        const [of, messages, bytes] = [fields.u8(), fields.number(), fields.number()];
        return handle?.confirm(of, messages, bytes);
      }
      case KIND.room: {
        const handle = this.opened.get(fields.u32());
        const [of, messages, bytes] = [fields.u8(), fields.number(), fields.number()];
        return handle?.grow(of, messages, bytes);
      }
      case KIND.received:
        this.low.arrived = fields.number();
        return this.opened.forEach((handle) => handle.pump());
      case KIND.ping:
        this.owned.forEach((lane) => lane.report(true));
        // A page that is not in front has slow timers: its heartbeats are answers to those of the node.
        this.send(part, frame(part === HIGH ? KIND.pong : KIND.ping).u64(fields.u64()));
        return part === HIGH ? this.measure() : undefined;
      case KIND.pong:
        return this.onPong(fields.u64());
      case KIND.open:
        return this.onOpen(fields);
      case KIND.opened: {
        const number = fields.u32();
        const opened = { version: fields.u32(), codec: fields.u8() };
        const messages = [fields.u32(), fields.u32()];
        const bytes = [fields.number(), fields.number()];
        opened.credits = [0, 1].map((of) => new Credit(messages[of], bytes[of]));
        return this.onReply(number, opened);
      }
      case KIND.refused: {
        const number = fields.u32();
        const kindOf = REFUSALS[fields.u8()] ?? 'denied';
        return this.onReply(number, new LaneError(kindOf, fields.text()));
      }
      case KIND.confirm:
        return this.owned.get(fields.u32())?.confirm();
      case KIND.close:
        return this.owned.get(fields.u32())?.close(part);
      case KIND.ended: {
        const number = fields.u32();
        const handle = this.opened.get(number);
        this.opened.delete(number);
        return handle?.end(REASONS[fields.u8()] ?? 'failed', fields.text());
      }
      case KIND.order:
        // An object of a page is not stopped from outside.
        return this.owned.get(fields.u32())?.fail('the page does not let its objects be stopped');
      case KIND.bye:
        return this.close('closed by the node');
      default:
        throw new Error('a frame is of an unknown kind');
    }
  }

  /** A message that may be lost. Returns whether it is for a stream or a track of this page. */
  onLoose(fields) {
    const [codec, name] = [fields.u8(), fields.text()];
    const exported = this.page.exports.get(name);
    if (codec !== 0 || !exported?.onloose) return false;
    exported.onloose(fields);
    return true;
  }

  onOpen(fields) {
    const number = fields.u32();
    const [start, end] = [fields.u32(), fields.u32()];
    const [codecs, type, name] = [fields.u8(), fields.text(), fields.text()];
    if (this.owned.has(number)) throw new Error('it opens a lane twice');
    const refuse = (why, text) => this.send(HIGH, frame(KIND.refused).u32(number).u8(REFUSALS.indexOf(why)).text(text));
    const exported = this.page.exports.get(name);
    if (!exported) return refuse('unknown', `${name} is not exported`);
    if (exported.type !== type) return refuse('mismatch', `${name} is of type ${exported.type}, not ${type}`);
    const version = Math.min(end, exported.versions[1]);
    if (version < start || version < exported.versions[0]) {
      return refuse('mismatch', `${name} has the versions ${exported.versions.join('..=')}, not ${start}..=${end}`);
    }
    if ((codecs & (1 << JSON_CODEC)) === 0) return refuse('mismatch', `${name} speaks JSON`);
    if (this.owned.size >= MAX_LANES) return refuse('limit', 'this page gives out no more lanes');
    this.owned.set(number, new OwnLane(this, number, exported, (codecs & ROOM) !== 0));
    const out = frame(KIND.opened).u32(number).u32(version).u8(JSON_CODEC);
    const [high, low] = this.options.credit;
    return this.send(HIGH, out.u32(high.messages).u32(low.messages).u64(high.bytes).u64(low.bytes));
  }

  onReply(number, reply) {
    const opening = this.opening.get(number);
    this.opening.delete(number);
    if (opening) opening(reply);
    else if (!(reply instanceof LaneError)) this.closeLane(number); // it was given up
  }

  /** Closes both classes of a lane that the node has opened. Before it has, it would not know the lane. */
  closeLane(number) {
    for (const part of [HIGH, LOW]) this.send(part, frame(KIND.close).u32(number));
  }

  /** Asks the node for a lane to one of its actors. */
  lookup(name, type, versions, timeout) {
    const number = this.nextLane++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.opening.delete(number);
        reject(new LaneError('timeout', 'no answer in time'));
      }, timeout);
      this.opening.set(number, (reply) => {
        clearTimeout(timer);
        if (reply instanceof LaneError) return reject(reply);
        if (reply.codec !== JSON_CODEC || reply.version < versions[0] || reply.version > versions[1]) {
          this.closeLane(number);
          return reject(new LaneError('mismatch', 'the node chose what was not offered'));
        }
        const handle = new Handle(this, number, reply.credits);
        handle.version = reply.version;
        this.opened.set(number, handle);
        return resolve(handle);
      });
      const out = frame(KIND.open).u32(number).u32(versions[0]).u32(versions[1]).u8(ROOM | (1 << JSON_CODEC));
      this.send(HIGH, out.text(type).text(name));
    });
  }

  /** Takes the link down: all that it carried ends. */
  close(why) {
    if (this.isDown) return;
    this.isDown = true;
    clearInterval(this.timer);
    this.streams.forEach((stream) => stream.end(why));
    this.sections?.close();
    const unreachable = new LaneError('unreachable', why);
    for (const opening of this.opening.values()) opening(unreachable);
    for (const lane of this.owned.values()) lane.isOver = true;
    // First what was not written, then what was.
    for (const handle of this.opened.values()) handle.end('unreachable', why);
    for (const slot of [...this.asks.keys()]) this.takeAsk(slot).reject(new LaneError('unknown', why));
    this.resolveDown(why);
  }
}

const DEFAULTS = {
  /** Bytes that a frame may have. */
  maxFrame: 1 << 20,
  /** Messages of high and low priority that may wait in a handle. */
  capacity: [64, 1024],
  /**
   * What the other node may have on its way to each object of this page, high and low; and how many times as much, up to
   * 16 MiB, where the object accepts more in a round trip.
   */
  credit: [{ messages: 64, bytes: 256 << 10 }, { messages: 1024, bytes: 4 << 20 }],
  creditGrowth: 16,
  /** Bytes that may be on their way on low. */
  window: 256 << 10,
  /** Milliseconds: for the handshake; of silence after which the link is down; between attempts. */
  timeout: 5000,
  deadAfter: 5000,
  backoff: 100,
  maxBackoff: 10000,
  /** For data channels: servers as of `RTCPeerConnection`, besides those that the node tells. */
  iceServers: [],
  /**
   * By data channels: what goes by RTP at once, such as `{ send: ['video', 'audio'], receive: ['video'] }`, up to eight in all, for
   * `sendTrack` and `receiveTrack`. It is said in the offer, and stays.
   */
  media: null,
};

/**
 * This page among nodes, made by `connect`. It keeps its link up: one that is lost is made again, with pauses that
 * grow. Handles end with their link; exports stay. Events: `up`; `down`, with the reason in `detail`; and `refused`,
 * with the error in `detail`, after which it does not try again: the token is not accepted, or a later page has the name.
 */
export class Page extends EventTarget {
  #url; #token; #isClosed = false;

  constructor(url, { name, token, ...options }) {
    super();
    this.#url = url;
    this.#token = token;
    this.options = { ...DEFAULTS, ...options };
    this.name = name;
    const { media } = this.options;
    if (media && !/^https?:/.test(url)) throw new LaneError('refused', 'media need a link by data channels, to an https: address');
    // Greater than that of this page before it was loaded again.
    this.incarnation = BigInt(Date.now()) * 1000n + BigInt(Math.floor(Math.random() * 1000));
    this.exports = new Map();
    this.link = null;
  }

  /** The node at the other end, while there is a link: `{ name, incarnation }`. */
  get peer() { return this.link?.peer ?? null; }

  /**
   * Lets the node look up an object of this page: its methods `high` and `low` get the messages of a class, one at
   * a time, and may return promises. A question is a `Reply` in a message. A method that throws ends the lane of the
   * message, as an actor that fails. `type` and `versions` are those of the Rust type.
   */
  export(name, type, actor, { versions = [1, 1] } = {}) {
    if (this.exports.has(name)) throw new LaneError('refused', `another object is exported as ${name}`);
    this.exports.set(name, new Exported(type, versions, actor));
  }

  /**
   * Calls `callback` with each chunk `{ sequence, payload }` that the node sends to a stream of this page, and with
   * `{ name, incarnation }` of the node. `withdrawStream` ends it.
   */
  registerStream(id, callback) { this.#register(CHUNKS, id, callback); }

  withdrawStream(id) { return this.withdraw(`${CHUNKS.prefix}/${id}`); }

  /** Opens a stream that the node has registered: `'reliable'`, or by data channels `'latency-first'`. */
  openStream(id, { mode = 'reliable', ...options } = {}) {
    return this.#open(StreamSender, CHUNKS, id, mode === 'latency-first', options);
  }

  /** As `registerStream`, with each frame `{ kind, codec, timestamp, data }` for a track of this page. */
  registerMediaTrack(track, callback) { this.#register(FRAMES, track, callback); }

  withdrawMediaTrack(track) { return this.withdraw(`${FRAMES.prefix}/${track}`); }

  /** Opens a track that the node has registered. Of a link by data channels it has a channel of its own. */
  openMediaTrack(track, options) { return this.#open(MediaTrack, FRAMES, track, true, options); }

  /**
   * Sends a `MediaStreamTrack`, such as that of a camera, to a track that the node has registered: by RTP, encoded by the browser, which
   * goes by what the path carries. It takes one of the sections that `connect` has declared (`media.send`), or is refused with
   * `limit`; `SentTrack.close`, or the end of the receiver, gives it back.
   */
  async sendTrack(track, source, options = {}) {
    const { link } = this;
    const section = this.#sections(link).take('send', source.kind);
    if (!section) throw new LaneError('limit', `no section to send ${source.kind} is free: \`connect\` declares them`);
    let [handle, number] = [null, null];
    let isOpen = true;
    const close = async () => {
      if (!isOpen) return;
      isOpen = false;
      if (number !== null) link.sections.unbind(number);
      handle?.close();
      // A peer connection that is closed takes nothing, and has nothing to give back.
      await section.transceiver.sender.replaceTrack(null).catch(() => {});
      link.sections.release(section);
    };
    try {
      const name = `${FRAMES.prefix}/${track}`;
      handle = await this.lookup(name, FRAMES.type, options);
      number = await link.sections.bind(section, name, options.timeout ?? 5000);
      await section.transceiver.sender.replaceTrack(source);
    } catch (error) {
      await close();
      throw error;
    }
    return new SentTrack(section, handle.closed, close);
  }

  /**
   * Lets the node play a track in this page (`Streams::open_media_track`). `callback` gets the `MediaStreamTrack`, which belongs into
   * the `srcObject` of an element; `{ name, incarnation }` of the node; and a promise that is fulfilled when the node has
   * closed the track, or the link is down. It takes one of the sections that `connect` has declared (`media.receive`).
   * `withdrawMediaTrack` ends it.
   */
  receiveTrack(track, callback, { kind = 'video' } = {}) {
    if (!this.options.media?.receive?.includes(kind)) {
      throw new LaneError('limit', `\`connect\` has declared no section to receive ${kind}`);
    }
    const name = `${FRAMES.prefix}/${track}`;
    const low = () => { throw new Error('this track is played: it takes no frames in a lane'); };
    this.export(name, FRAMES.type, { low });
    this.exports.get(name).plays = { kind, callback };
  }

  #sections(link) {
    if (!link) throw new LaneError('unreachable', 'there is no link');
    if (!link.sections) throw new LaneError('limit', '`connect` has declared no sections for media');
    return link.sections;
  }

  #register(format, id, callback) {
    const call = async (content, from) => {
      try {
        await callback(content, from);
      } catch (error) {
        console.error(error);
      }
    };
    const name = `${format.prefix}/${id}`;
    this.export(name, format.type, {
      async low({ node, incarnation, content, taken }) {
        await call(format.fromJson(content), { name: node, incarnation: BigInt(incarnation) });
        taken?.send(null);
      },
    });
    this.exports.get(name).onloose = (fields) => {
      const from = { name: decode(fields.blob()), incarnation: fields.varint() };
      call(format.read(fields), from);
    };
  }

  async #open(Kind, format, id, isLoose, options) {
    const [{ link }, name] = [this, `${format.prefix}/${id}`];
    return new Kind(link, name, await this.lookup(name, format.type, options), format, isLoose);
  }

  /** By data channels: counts of messages that may be lost, `{ sent, passedOver, arrived, lost, refused }` of this link. */
  get loose() { return this.link?.loose ? { ...this.link.loose.counts } : null; }

  /** No longer lets the node look it up, and ends the lanes to it. */
  withdraw(name) {
    const exported = this.exports.get(name);
    this.exports.delete(name);
    for (const lane of this.link?.owned.values() ?? []) if (lane.exported === exported) lane.finish(1, '');
    this.link?.sections?.withdraw(exported);
    return exported !== undefined;
  }

  /** A handle of an actor that the node exports. */
  async lookup(name, type, { versions = [1, 1], timeout = 5000 } = {}) {
    if (!this.link) throw new LaneError('unreachable', 'there is no link');
    return this.link.lookup(name, type, versions, timeout);
  }

  /** Closes the link for good. */
  close() {
    this.#isClosed = true;
    this.link?.send(HIGH, frame(KIND.bye));
    this.link?.close('closed here');
  }

  async #dial() {
    const token = tokenBytes(typeof this.#token === 'function' ? await this.#token() : this.#token);
    const me = { name: this.name, incarnation: this.incarnation, token };
    const number = new DataView(random(8).buffer).getBigUint64(0);
    let [first, timer, streams] = [undefined, undefined, []];
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new LaneError('timeout', 'no connection in time')), this.options.timeout);
    });
    try {
      if (/^https?:/.test(this.#url)) streams = await openChannels(this.#url, this.options);
      for (const part of [HIGH, LOW]) {
        streams[part] ??= new Stream(new WebSocket(this.#url));
        const peer = await Promise.race([greet(streams[part], me, number, part), late]);
        first ??= peer;
        if (peer.name !== first.name || peer.incarnation !== first.incarnation) {
          throw new LaneError('protocol', 'the two connections lead to different nodes');
        }
      }
    } catch (error) {
      streams.forEach((stream) => stream.end('given up'));
      throw error;
    } finally {
      clearTimeout(timer);
    }
    if (this.#isClosed) {
      streams.forEach((stream) => stream.end('closed here'));
      throw new LaneError('lost', 'closed here');
    }
    this.link = new Link(this, streams, first);
    this.dispatchEvent(new Event('up'));
    return this.link;
  }

  /** Makes the first link. It is kept from then on. */
  async connect() {
    this.#keep(await this.#dial());
    return this;
  }

  async #keep(link) {
    for (;;) {
      const why = await link.down;
      this.link = null;
      this.dispatchEvent(new CustomEvent('down', { detail: why }));
      link = null;
      for (let failures = 0; link === null; failures += 1) {
        const pause = Math.min(this.options.backoff * 2 ** failures, this.options.maxBackoff);
        await new Promise((resolve) => { setTimeout(resolve, pause * (0.5 + Math.random() / 2)); });
        if (this.#isClosed) return;
        try {
          link = await this.#dial();
        } catch (error) {
          const isFinal = FINAL.includes(error.verdict) || TOKENS.includes(error.verdict) && typeof this.#token !== 'function';
          if (!this.#isClosed && isFinal) {
            this.dispatchEvent(new CustomEvent('refused', { detail: error }));
            return;
          }
        }
      }
    }
  }
}

/**
 * Links this page to the node at a `ws:` or `wss:` address, or by data channels at an `http:` or `https:` one, under a
 * name that the token is for. `token` is a text, or a
 * function that returns one or a promise of one, which is called for each link. For the other options, see the limits
 * in this file. When the first attempt fails, there is no second.
 */
export function connect(url, options) {
  return new Page(url, options).connect();
}
