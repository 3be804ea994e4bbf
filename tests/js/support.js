'use strict';
// What the client's tests share: a clock moved by hand, sockets scripted by the test, a comet server on port 0.

const http = require('node:http');
const path = require('node:path');

const BUILD = process.env.HOOKBOX_JS || 'hookbox.js';
const hookbox = require(path.join(__dirname, '../../hookbox/js', BUILD));

/** Let everything that is ready run: promises, and what they started. */
const settled = () => new Promise(resolve => setImmediate(resolve));

/** The client's time: stands still until the test moves it. Timers fire in order, each after the promises before it. */
class ManualClock {
  constructor() {
    this.time = 0;
    this.timers = [];
    this.random = 0.5;
    this.lastId = 0;
  }

  options() {
    return {
      now: () => this.time,
      random: () => this.random,
      setTimeout: (callback, ms) => {
        this.timers.push({ id: ++this.lastId, due: this.time + ms, callback });
        return this.lastId;
      },
      clearTimeout: id => {
        this.timers = this.timers.filter(timer => timer.id !== id);
      },
    };
  }

  async advance(ms) {
    const end = this.time + ms;
    await settled();
    for (;;) {
      const next = this.timers.filter(timer => timer.due <= end).sort((a, b) => a.due - b.due || a.id - b.id)[0];
      if (!next) break;
      this.time = Math.max(this.time, next.due);
      await this.fire(next);
    }
    this.time = end;
  }

  /** As in a frozen tab: time passes, and only then what has become due fires, late. */
  async oversleep(ms) {
    this.time += ms;
    for (const timer of this.timers.filter(timer => timer.due <= this.time)) await this.fire(timer);
  }

  async fire(timer) {
    this.timers = this.timers.filter(other => other !== timer);
    timer.callback();
    await settled();
  }

  /** Milliseconds until the next timer. */
  get next() {
    return Math.min(...this.timers.map(timer => timer.due)) - this.time;
  }
}

/** The browser's WebSocket, with the network and the server in the test's hands. */
function socketClass() {
  return class FakeSocket {
    static all = [];
    static get last() {
      return FakeSocket.all[FakeSocket.all.length - 1];
    }

    constructor(url) {
      this.url = url;
      this.sent = [];
      this.lastId = 0;
      this.closedWith = undefined;
      FakeSocket.all.push(this);
    }

    // the client's side
    send(text) {
      if (!text.endsWith('\r\n')) throw new Error('one frame per message');
      this.sent.push(JSON.parse(text));
    }

    close(code) {
      this.closedWith = code;
    }

    // the test's side
    async open() {
      this.onopen();
      await settled();
    }

    async say(name, args) {
      return this.raw(JSON.stringify([++this.lastId, name, args]) + '\r\n');
    }

    async raw(text) {
      if (this.onmessage) this.onmessage({ data: text });
      await settled();
    }

    async drop(code = 1006, reason = '') {
      if (this.onclose) this.onclose({ code, reason, wasClean: code !== 1006 });
      await settled();
    }

    /** The arguments of the last frame of that name, with its id. */
    frame(name) {
      const found = this.sent.filter(frame => frame[1] === name).pop();
      return found && { id: found[0], ...found[2] };
    }

    names() {
      return this.sent.map(frame => frame[1]);
    }

    async connected(args = {}) {
      await this.open();
      const features = this.frame('CONNECT').features;
      await this.say('CONNECTED', { name: 'ann', conn_id: 'c1', version: '1', features, ping_interval: 25, ...args });
    }

    async ack(name, args = {}) {
      await this.say('ACK', { id: this.frame(name).id, ...args });
    }

    async subscribed(channelName, args = {}) {
      const plain = { history: [], history_size: 0, state: {}, presence: [], offset: 0, epoch: 'e1' };
      await this.say('SUBSCRIBE', { channel_name: channelName, user: 'ann', ...plain, ...args });
    }

    async publish(channelName, offset, payload = offset) {
      await this.say('PUBLISH', { channel_name: channelName, payload, offset, user: 'bob', datetime: 'd' });
    }
  };
}

/** A connection over scripted sockets: { clock, sockets, conn, log }. `log` has every event of the connection. */
function scripted(options = {}, payload, cookieString) {
  const clock = new ManualClock();
  const sockets = socketClass();
  const conn = hookbox.connect('http://hookbox.test', payload, cookieString, {
    ...clock.options(),
    transport: 'websocket',
    WebSocket: sockets,
    ...options,
  });
  return { clock, sockets, conn, log: logOf(conn) };
}

const EVENTS = ['state', 'open', 'reconnected', 'close', 'connectionLost', 'error', 'recovered'];

function logOf(conn) {
  const log = [];
  for (const event of EVENTS) conn.on(event, (...args) => log.push([event, ...args]));
  log.of = name => log.filter(([event]) => event === name).map(([, ...args]) => args);
  log.states = () => log.of('state').map(([state]) => state);
  return log;
}

/** Values put in by one side and awaited by the other, in order. */
class Inbox {
  constructor() {
    this.values = [];
    this.waiting = [];
  }

  put(value) {
    const taker = this.waiting.shift();
    if (taker) taker(value);
    else this.values.push(value);
  }

  /** The next value; fails, rather than hangs, after some real seconds. */
  next(what = 'a value') {
    if (this.values.length) return Promise.resolve(this.values.shift());
    return new Promise((resolve, reject) => {
      const alarm = setTimeout(() => reject(new Error(`${what} did not come`)), 10000);
      this.waiting.push(value => {
        clearTimeout(alarm);
        resolve(value);
      });
    });
  }
}

/**
 * A real HTTP server whose every request the test answers itself.
 * `await server.next('comet')` gives { query, body, cookies, answer(status, text), write(text), end(), cut() }.
 */
class ScriptedServer {
  static async start() {
    const server = new ScriptedServer();
    await new Promise(resolve => server.http.listen(0, '127.0.0.1', resolve));
    server.url = `http://127.0.0.1:${server.http.address().port}`;
    return server;
  }

  constructor() {
    this.inboxes = {};
    this.http = http.createServer((request, response) => this.take(request, response));
    this.sessions = 0;
  }

  inbox(name) {
    return (this.inboxes[name] = this.inboxes[name] || new Inbox());
  }

  take(request, response) {
    const url = new URL(request.url, this.url);
    const chunks = [];
    request.on('data', chunk => chunks.push(chunk));
    request.on('end', () => {
      const exchange = {
        method: request.method,
        path: url.pathname,
        headers: request.headers,
        query: Object.fromEntries(url.searchParams),
        body: Buffer.concat(chunks).toString(),
        gone: new Promise(resolve => response.on('close', resolve)),
        answer(status, text = '', headers = {}) {
          response.writeHead(status, { 'Content-Type': 'text/plain', ...headers });
          response.end(text);
        },
        write(text) {
          if (!response.headersSent) response.writeHead(200, { 'Content-Type': 'text/plain' });
          response.write(text);
        },
        end: text => response.end(text),
        cut: () => request.socket.destroy(),
      };
      this.inbox(url.pathname.replace(/^.*csp\//, '')).put(exchange);
    });
  }

  next(name) {
    return this.inbox(name).next(name);
  }

  async handshake() {
    const exchange = await this.next('handshake');
    exchange.answer(200, `({"session": "s${++this.sessions}"})`);
    return exchange;
  }

  /** Answer sends until one carries the frame; returns its arguments, with the frame's id. */
  async frame(name) {
    this.lines = this.lines || [];
    for (;;) {
      while (this.lines.length) {
        const [id, kind, args] = JSON.parse(this.lines.shift());
        if (kind === name) return { id, ...args };
      }
      const exchange = await this.next('send');
      exchange.answer(200, '("OK")');
      for (const [, , text] of JSON.parse(exchange.body)) {
        if (text !== null) this.lines.push(...text.split('\r\n').filter(Boolean));
      }
    }
  }

  stop() {
    this.http.closeAllConnections();
    return new Promise(resolve => this.http.close(resolve));
  }
}

/** A batch as the server writes it, from frames; `ids` count packets. */
const batch = (...packets) => `(${JSON.stringify(packets)})\n`;
const line = (id, name, args) => `${JSON.stringify([id, name, args])}\r\n`;

module.exports = {
  BUILD,
  Inbox,
  ManualClock,
  ScriptedServer,
  batch,
  hookbox,
  line,
  logOf,
  scripted,
  settled,
  socketClass,
};
