/*
 * Hookbox browser client. No dependencies, no build step: ES2018, for pages, workers and Node.
 * Licence: MIT. Reference: docs/client.md.
 *
 * From top to bottom: small helpers, the two transports, Subscription, Connection, hookbox.connect().
 *
 *   transport(env, base, events) -> { send(text), close(graceful) }
 *   events: open() once it carries text, data(text) for each piece received ('' is a sign of life only),
 *           down({code, reason, retry_ms, clean}) once, when it ends; none of these after close()
 *
 * Names with a leading underscore are private; the minified build renames them.
 */
var hookbox = (function () {
  'use strict';

  const root = typeof self === 'object' ? self : global;
  const HOUR = 3600000;
  const BUFFERED_AFTER = 3; // seconds without the first batch of a stream: something on the way buffers
  const SEND_TIMEOUT = 10; // seconds
  const LAST_WORDS = 1; // seconds for the goodbye of a server whose successor answers already
  const GLUE = 60000; // characters of frames put into one comet packet; servers take 256 KiB, escaped
  const IN_FRONT = 10; // seconds of silence before a PING while somebody looks at the page, at most
  const COOKIES_WITHIN = 5; // seconds to fetch cookies that the server announced; frames behind it wait
  const STABLE = 10000; // milliseconds connected after which the back-off starts over

  const DEFAULTS = {
    transport: '', // 'websocket' or 'comet' to allow only that one
    streaming: true, // false: comet only by long polls
    reconnect: true, // false: end with the first lost connection, as the old client did
    connectTimeout: 8, // seconds for a transport to open; CONNECTED may take twice that
    pingInterval: 0, // seconds of silence before a PING; 0: what the server says, less in front
    pongTimeout: 8, // seconds of silence after it
    minDelay: 0.5, // seconds, the first ceiling of the back-off
    maxDelay: 30, // seconds, the last
    queueSize: 100, // publishes and messages kept while there is no connection
    queueTimeout: 30, // seconds they are kept
    // What the client takes from its surroundings; Node before 22 needs a WebSocket, tests replace the rest.
    WebSocket: root.WebSocket,
    fetch: (url, init) => fetch(url, init),
    setTimeout: (callback, ms) => setTimeout(callback, ms),
    clearTimeout: id => clearTimeout(id),
    now: () => (root.performance || Date).now(),
    random: Math.random,
  };

  // ---- helpers

  const noop = () => {};
  const pause = (env, ms) => new Promise(done => env.setTimeout(done, ms));

  // A promise that may be ignored: a rejection nobody waits for is in onError, not in the console.
  function quiet(promise) {
    promise.catch(noop);
    return promise;
  }

  /**
   * Call `expired` after some seconds, but not when only our own timer was late (a throttled or frozen tab):
   * then what has arrived meanwhile is still queued behind it, so it gets the same time once more.
   * Returns a function that cancels.
   */
  function deadline(env, seconds, expired) {
    let trusting = true;
    let id;
    const arm = () => {
      const due = env.now() + seconds * 1000;
      id = env.setTimeout(() => {
        if (trusting && env.now() > due + 1000) {
          trusting = false;
          arm();
        } else {
          expired();
        }
      }, seconds * 1000);
    };
    arm();
    return () => env.clearTimeout(id);
  }

  // Full jitter: anything between nothing and a ceiling that doubles.
  function backoff(env, tries) {
    return env.random() * Math.min(env.maxDelay, env.minDelay * 2 ** tries) * 1000;
  }

  function failure(code, msg, id, retry_ms) {
    return Object.assign(new Error(msg), { id, msg, code, retry_ms });
  }

  // What does not get through to an origin is avoided for an hour, across pages where there is a localStorage.
  const avoided = {};

  function avoid(what, on) {
    avoided[what] = on ? Date.now() + HOUR : 0;
    try {
      root.localStorage.setItem(what, avoided[what]);
    } catch (blocked) {} // eslint-disable-line no-empty
  }

  function avoids(what) {
    let until = avoided[what];
    try {
      until = root.localStorage.getItem(what) || until;
    } catch (blocked) {} // eslint-disable-line no-empty
    const left = until - Date.now();
    return left > 0 && left <= HOUR;
  }

  /** Events: `on`, `off`, and the older form, a property named like the event: onOpen for 'open'. */
  class Emitter {
    constructor() {
      this._listeners = [];
    }

    on(event, listener) {
      this._listeners.push([event, listener]);
      return this;
    }

    off(event, listener) {
      this._listeners = this._listeners.filter(([name, fn]) => name !== event || (listener && fn !== listener));
      return this;
    }

    // Outside of whatever we are in the middle of: what a listener calls finds everything in order.
    _tell(...what) {
      Promise.resolve().then(() => this._emit(...what));
    }

    // A listener that throws is reported by the page's own error handling and stops nobody else.
    _emit(event, ...args) {
      const property = this['on' + event[0].toUpperCase() + event.slice(1)];
      const listeners = this._listeners.filter(([name]) => name === event).map(([, fn]) => fn);
      for (const listener of [property, ...listeners]) {
        try {
          if (listener) listener.apply(this, args);
        } catch (error) {
          setTimeout(() => {
            throw error;
          });
        }
      }
    }
  }

  // ---- transports

  function openSocket(env, base, events) {
    const url = new URL(base);
    url.protocol = url.protocol.replace('http', 'ws');
    url.pathname += 'ws';
    let socket;
    try {
      socket = new env.WebSocket(url.href);
    } catch (refused) {
      // mixed content, or the page's content security policy
      Promise.resolve().then(() => events.down({}));
      return { send: noop, close: noop };
    }
    socket.onopen = () => events.open();
    socket.onmessage = event => events.data(event.data);
    socket.onerror = noop; // a close follows
    socket.onclose = ({ code, reason, wasClean }) =>
      events.down(code === 1005 || code === 1006 ? { clean: wasClean } : { code, reason, clean: true });
    return {
      send: text => socket.send(text),
      close() {
        socket.onopen = socket.onmessage = socket.onclose = null;
        socket.close(1000);
      },
    };
  }

  /**
   * Comet: a byte stream each way out of HTTP requests (the Comet Session Protocol).
   * Packets are [id, encoding, data]; a batch is an array of them, one batch on a line.
   */
  function openComet(env, base, events) {
    const streamsFail = 'hookbox.stream ' + new URL(base).origin;
    let streaming = env.streaming && !avoids(streamsFail);
    let key;
    let received = 0; // id of the last packet taken
    let sent = 0; // id of the last packet sent
    const outgoing = [];
    let sending = false;
    let closing = false; // no more events; what was written is still sent
    let over = false;
    let unknown = false; // to whoever answers: nothing more can be sent, and there is nothing to take leave of
    const requests = new Set();
    let poll; // the open comet request

    function request(path, query, body, control) {
      const url = new URL(base);
      url.pathname += 'csp/' + path;
      for (const name in query) url.searchParams.set(name, query[name]);
      return env.fetch(url.href, {
        method: 'POST',
        body,
        credentials: 'include',
        keepalive: !control, // the last one may outlive the page
        signal: control && control.signal,
      });
    }

    // One whole request and its answer; a failure of the network is status 0.
    async function ask(path, query, body) {
      const control = new AbortController();
      const stop = deadline(env, SEND_TIMEOUT, () => control.abort());
      requests.add(control);
      try {
        const response = await request(path, query, body, control);
        return { status: response.status, wait: +response.headers.get('Retry-After'), text: await response.text() };
      } catch (failed) {
        return { status: 0 };
      } finally {
        stop();
        requests.delete(control);
      }
    }

    const session = () => ({ s: key, a: received });
    const unwrap = text => JSON.parse(text.trim().replace(/^\(|\)$/g, ''));
    const pauseAfter = tries => pause(env, 250 * 2 ** tries);

    function leave() {
      if (key && !unknown) request('close', session()).catch(noop);
    }

    function stop() {
      over = closing = true;
      requests.forEach(control => control.abort());
      if (root.removeEventListener) root.removeEventListener('pagehide', leave);
    }

    function end(info) {
      if (closing) return;
      stop();
      leave();
      events.down(info || {});
    }

    // One send at a time; the same packet again, with the same id, until it is acknowledged.
    async function pump() {
      if (sending) return;
      sending = true;
      let body;
      let tries = 0;
      while (!over && (body || outgoing.length)) {
        if (!body) body = JSON.stringify([[++sent, 0, glue()]]);
        const { status } = await ask('send', session(), body);
        if (status === 404) unknown = true;
        if (unknown && !closing) {
          // A new server answers, perhaps, while the old one is still saying goodbye, and what it has handled.
          env.setTimeout(end, LAST_WORDS * 1000);
          return;
        }
        if (status === 200) {
          body = tries = 0;
        } else if ((status >= 400 && status < 500 && status !== 408 && status !== 429) || ++tries > 4) {
          if (closing) over = true;
          end();
        } else {
          await pauseAfter(tries);
        }
      }
      sending = false;
      if (closing && !over) {
        stop();
        leave();
      }
    }

    function glue() {
      let text = '';
      while (outgoing.length && text.length < GLUE) text += outgoing.shift();
      return text;
    }

    function take([id, encoding, data]) {
      if (closing || id <= received) return; // sent again because our acknowledgement had not arrived
      if (data === null || id > received + 1) {
        end(); // the server's own end, or a hole that nobody will fill
      } else {
        received = id;
        events.data(encoding ? atob(data.replace(/-/g, '+').replace(/_/g, '/')) : data);
      }
    }

    async function listen() {
      let tries = 0;
      while (!closing) {
        const began = env.now();
        const before = received;
        const control = (poll = new AbortController());
        let buffered = false;
        const heard = streaming
          ? deadline(env, BUFFERED_AFTER, () => {
              buffered = true;
              control.abort();
            })
          : noop;
        requests.add(control);
        try {
          const query = Object.assign(session(), { is: +streaming, bs: '\n' });
          const response = await request('comet', query, '', control);
          if (response.status === 404) {
            key = null;
            end();
            return;
          }
          if (response.status !== 200) throw response.status;
          await eachLine(response, line => {
            heard();
            if (closing) return;
            events.data('');
            unwrap(line).forEach(take);
          });
          // An answer that is empty at once must not make us spin.
          if (received > before || env.now() - began > 1000) tries = 0;
          else throw 0;
        } catch (failed) {
          if (received > before) tries = 0; // it was of use until it broke
          if (buffered) {
            streaming = false;
            avoid(streamsFail, true);
          } else if (++tries > 4) {
            end();
          } else {
            await pauseAfter(tries - 1);
          }
        } finally {
          heard();
          requests.delete(control);
        }
      }
    }

    // The content type is the one that proxies know not to hold back.
    (async () => {
      const { status, text, wait } = await ask(
        'handshake',
        { ct: streaming ? 'text/event-stream' : 'text/plain' },
        '{}'
      );
      if (closing) return;
      try {
        key = status === 200 && unwrap(text).session;
      } catch (garbage) {} // eslint-disable-line no-empty
      if (!key) {
        end({ retry_ms: (wait || 0) * 1000 });
        return;
      }
      if (root.addEventListener) root.addEventListener('pagehide', leave);
      events.open();
      listen();
    })();

    return {
      send(text) {
        outgoing.push(text);
        pump();
      },
      close(graceful) {
        if (closing) return;
        closing = true;
        if (graceful && sending) {
          if (poll) poll.abort();
        } else {
          stop();
          leave();
        }
      },
    };
  }

  // Lines of a body as they arrive, or of the whole body where it cannot be read in pieces.
  async function eachLine(response, use) {
    let rest = '';
    const cut = text => {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      lines.filter(line => line.trim()).forEach(use);
    };
    if (response.body && response.body.getReader) {
      const reader = response.body.getReader();
      const decoder = new TextDecoder();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        cut(decoder.decode(value, { stream: true }));
      }
    } else {
      cut(await response.text());
    }
    cut('\n');
  }

  // ---- subscriptions

  /** A channel this connection listens to. The same object stays across reconnects. */
  class Subscription extends Emitter {
    constructor(connection, channelName) {
      super();
      this.channelName = channelName;
      this.canceled = false;
      this.publish = payload => connection.publish(channelName, payload);
      this.cancel = () => connection._cancel(this);
      // After a reconnect, until the server said what was missed: `_recovering`; if asked by position: `_since`.
      this._recovering = false;
    }

    _snapshot(args) {
      this.history = args.history || [];
      this.historySize = args.history_size || 0;
      this.historyDuration = args.history_duration || 0;
      this.state = args.state || {};
      this.presence = args.presence || [];
    }

    // The server sends the history once; from there on each side keeps its own copy.
    _record(kind, args) {
      if (!this.historySize) return;
      const entry = Object.assign({}, args);
      delete entry.channel_name;
      delete entry.presence;
      this.history.push([kind, entry]);
      while (this.history.length > this.historySize) this.history.shift();
    }

    _published(args, missed) {
      if (args.offset !== undefined) {
        // While the answer to our position is due, what comes live is part of that answer.
        if (args.offset <= this.offset || (this._recovering && this._since)) return;
        this.offset = args.offset;
      }
      if (!missed) this._record('PUBLISH', args);
      this._emit('publish', args);
    }

    _joined(args) {
      this._record('SUBSCRIBE', args);
      if (!this.presence.includes(args.user)) this.presence.push(args.user);
      this._emit('subscribe', args);
    }

    _left(args) {
      this._record('UNSUBSCRIBE', args);
      const at = this.presence.indexOf(args.user);
      if (at >= 0) this.presence.splice(at, 1);
      this._emit('unsubscribe', args);
    }

    _stateChanged(args) {
      for (const key of args.deletes || []) delete this.state[key];
      Object.assign(this.state, args.updates);
      this._emit('state', args);
    }
  }

  // ---- connection

  const aboutChannels = entry => /SUBSCRIBE/.test(entry.name);
  const passing = error => /^(app_unavailable|unavailable|rate|internal)$/.test(error.code);
  const terminal = code => code === 1000 || (code >= 4500 && code < 5000);

  class Connection extends Emitter {
    constructor(url, payload, cookieString, options) {
      super();
      this._env = Object.assign({}, DEFAULTS, options);
      const base = new URL(url || '/', root.document ? root.document.baseURI : root.location && root.location.href);
      base.protocol = base.protocol.replace('ws', 'http');
      base.hash = '';
      if (!base.pathname.endsWith('/')) base.pathname += '/';
      this.url = base.href;
      this.state = '';
      this.connected = false;
      this.username = null;
      this.subscriptions = new Map(); // by channel name
      this._payload = payload;
      this._cookieString = cookieString;
      this._socketsFail = 'hookbox.socket ' + base.origin;
      this._queue = []; // entries that wait for a connection
      this._pending = new Map(); // entries that wait for their answer, by frame id
      this._patience = 0; // refused WebSockets before comet is tried
      this._fetching = Promise.resolve(); // the last cookies
      this._ticket = undefined; // to our place at the server, should the connection be cut
      this._wake = event => this._woken(event);
      this._start();
    }

    // -- what a page calls

    /** Resolves with the Subscription, which exists already if the user is subscribed. */
    subscribe(channelName) {
      const promise = this._ask('SUBSCRIBE', { channel_name: channelName });
      // The old manual cancels what subscribe() returns.
      promise.cancel = () => quiet(promise.then(subscription => subscription.cancel()));
      return promise;
    }

    /** Resolves with {offset, epoch} once the server has accepted it. */
    publish(channelName, payload) {
      return this._ask('PUBLISH', { channel_name: channelName, payload: JSON.stringify(payload) });
    }

    message(name, payload) {
      return this._ask('MESSAGE', { name, payload: JSON.stringify(payload) });
    }

    /** End for good; what was written before is still sent. */
    disconnect() {
      this._finish({ code: 1000, reason: 'disconnect' }, true);
    }

    /** Connect anew, at once, with the cookies of now; after a login, or from the state 'closed'. */
    reconnect() {
      this._ticket = undefined; // it may be somebody else now
      if (this.state === 'closed') {
        this._start();
      } else {
        this._release();
        this._attempt();
      }
    }

    _cancel(subscription) {
      return subscription.canceled
        ? Promise.resolve()
        : this._ask('UNSUBSCRIBE', { channel_name: subscription.channelName });
    }

    // -- asking and being answered

    _ask(name, args) {
      return quiet(
        new Promise((resolve, reject) => {
          const entry = { name, args, done: (error, value) => (error ? reject(error) : resolve(value)), stop: noop };
          if (this.connected) this._transmit(entry);
          else this._hold(entry);
        })
      );
    }

    // Subscribing can wait and be repeated. A publication waits for a while, and is never sent twice.
    _hold(entry) {
      if (this.state === 'closed') {
        this._fail(entry, 'not_sent');
      } else if (aboutChannels(entry)) {
        this._queue.push(entry);
      } else if (this._queue.length >= this._env.queueSize) {
        this._fail(entry, 'not_sent');
      } else {
        this._queue.push(entry);
        entry.stop = deadline(this._env, this._env.queueTimeout, () => {
          this._queue = this._queue.filter(other => other !== entry);
          this._fail(entry, 'not_sent');
        });
      }
    }

    _fail(entry, code) {
      entry.stop();
      const error = failure(code, code === 'not_sent' ? 'Not connected' : 'Connection lost before an answer', null);
      if (this.state !== 'closed') this._tell('error', error);
      entry.done(error);
    }

    _transmit(entry) {
      entry.stop();
      const id = ++this._frameId;
      const answered = this._granted.ack || !/^(PUBLISH|MESSAGE)$/.test(entry.name);
      if (answered) this._pending.set(id, entry);
      this._link.send(JSON.stringify([id, entry.name, entry.args]) + '\r\n');
      if (!answered) entry.done(null, {}); // an older server: sent is all we shall know
    }

    _answered(args, error) {
      const entry = this._pending.get(args.id);
      this._pending.delete(args.id);
      if (error) this._tell('error', error);
      if (!entry) return;
      const subscription = this.subscriptions.get(entry.args.channel_name);
      if (!error && entry.name === 'UNSUBSCRIBE' && subscription) {
        // The user was not subscribed any more, so that no UNSUBSCRIBE came.
        this._dropped(subscription, { channel_name: subscription.channelName, user: this.username });
      }
      entry.done(error, entry.name === 'SUBSCRIBE' ? subscription : args);
    }

    // Own SUBSCRIBE and UNSUBSCRIBE frames answer before the ACK does: so `await subscribe()` misses nothing.
    _settle(name, channelName, value) {
      for (const entry of this._pending.values()) {
        if (entry.name === name && entry.args.channel_name === channelName && !entry.again) entry.done(null, value);
      }
    }

    // -- the connection's life

    _setState(state, detail) {
      if (state === this.state) return;
      this.state = state;
      this._tell('state', state, detail || {});
    }

    _start() {
      this._opened = false;
      this._tries = 0;
      this._listenToPage('addEventListener');
      this._attempt();
    }

    _listenToPage(method) {
      if (!root[method]) return;
      for (const event of ['online', 'offline']) root[method](event, this._wake);
      if (root.document) root.document[method]('visibilitychange', this._wake);
    }

    // The page came back, or the network came or went: do not wait for timers to find out.
    _woken({ type }) {
      if (type === 'visibilitychange' && root.document.hidden) return;
      if (this.connected) {
        if (!this._silent) this._probe();
      } else if (/waiting|offline/.test(this.state)) {
        if (type === 'offline') this._wait({});
        else if (this._env.now() >= this._notBefore) this._attempt();
      }
    }

    _attempt(comet) {
      const env = this._env;
      this._stopTimers();
      if (!comet) {
        this._blocked = false;
        comet =
          env.transport === 'comet' || !env.WebSocket || (env.transport !== 'websocket' && avoids(this._socketsFail));
      }
      this._frameId = 0;
      this._granted = {};
      this._setState('connecting');
      const late = () => this._lost({ reason: 'timeout' });
      const link = {};
      const mine = listener => argument => {
        if (this._link === link) listener(argument);
      };
      this._link = link;
      this._timer = deadline(env, env.connectTimeout, late);
      Object.assign(
        link,
        { comet, inbox: '' },
        (comet ? openComet : openSocket)(env, this.url, {
          open: mine(() => {
            this._timer();
            this._timer = deadline(env, 2 * env.connectTimeout, late);
            this._introduce();
          }),
          data: mine(text => this._received(text)),
          down: mine(info => {
            if (link.reading) link.down = info;
            else this._lost(info);
          }),
        })
      );
    }

    _introduce() {
      let cookies = this._cookieString;
      try {
        cookies = cookies || document.cookie;
      } catch (outside) {} // eslint-disable-line no-empty
      const since = {};
      for (const { channelName, epoch, offset } of this.subscriptions.values()) {
        if (epoch !== undefined) since[channelName] = { epoch, offset };
      }
      const args = {
        cookie_string: cookies || '',
        payload: JSON.stringify(typeof this._payload === 'function' ? this._payload() : this._payload),
        features: ['ack', 'recover', 'ping', 'close', 'resume'].concat(root.location ? 'cookies' : []),
        resume: this._ticket,
        // With a ticket, or nothing to recover, the server need not wait for positions.
        since: this._ticket || !this.subscriptions.size ? since : undefined,
      };
      this._transmit({ name: 'CONNECT', args, again: true, stop: noop, done: error => error && this._refused(error) });
    }

    // What will pass is tried again. Of a "no" the page is told, and it stays: see reconnect().
    _refused(error) {
      if (passing(error)) {
        this._lost({ reason: error.code, retry_ms: error.retry_ms, due: true });
        return;
      }
      this._stopTimers();
      this._setState('refused', { code: error.code, reason: error.msg });
      this._flush(entry => {
        entry.stop();
        entry.done(error);
      });
    }

    _flush(use) {
      const queue = this._queue;
      this._queue = [];
      queue.forEach(use);
    }

    _welcome(args) {
      this._stopTimers();
      const env = this._env;
      this._pending.clear(); // CONNECT itself
      this.connected = true;
      this.username = args.name;
      this.id = args.conn_id;
      this.transport = this._link.comet ? 'comet' : 'websocket';
      this._connectedAt = env.now();
      (args.features || []).forEach(feature => (this._granted[feature] = true));
      this._interval = args.ping_interval;
      this._ticket = args.resume && { conn_id: args.conn_id, key: args.resume };
      if (this._link.comet) {
        if (this._blocked) avoid(this._socketsFail, true);
      } else {
        this._patience = 2; // from now on a refused WebSocket is more likely a restarting server
      }
      this._watch(this._rhythm());
      const waiting = this._queue;
      for (const subscription of this.subscriptions.values()) {
        const leaving = entry => entry.name === 'UNSUBSCRIBE' && entry.args.channel_name === subscription.channelName;
        if ((args.channels || []).includes(subscription.channelName)) this._expectMissed(subscription);
        else if (!waiting.some(leaving)) this._resubscribe(subscription);
      }
      this._queue = waiting.filter(aboutChannels).concat(waiting.filter(entry => !aboutChannels(entry)));
      this._flush(entry => this._transmit(entry));
      this._setState('connected');
      this._tell(this._opened ? 'reconnected' : 'open', args);
      this._opened = true;
    }

    // Let go of the transport. What may be repeated goes back into the queue: what is about channels, and what the
    // server says it has not looked at, the frames after `handled`. The rest has an unknown outcome.
    _release(graceful, handled) {
      const link = this._link;
      const pending = Array.from(this._pending);
      const waiting = this._queue;
      this._stopTimers();
      this._link = null;
      this._pending.clear();
      this._queue = [];
      this.connected = false;
      if (link && link.close) link.close(graceful);
      for (const [id, entry] of pending) {
        const known = this.subscriptions.get(entry.args.channel_name);
        if (entry.again) continue;
        if (entry.name === 'SUBSCRIBE' && known) entry.done(null, known);
        else if (aboutChannels(entry) || id > handled) this._hold(entry);
        else this._fail(entry, 'unacknowledged');
      }
      this._queue = this._queue.concat(waiting);
    }

    _lost(info) {
      const link = this._link;
      const env = this._env;
      const wasConnected = this.connected;
      this._release(false, info.handled);
      if (terminal(info.code)) {
        this._finish(info);
        return;
      }
      if (wasConnected) {
        if (env.now() - this._connectedAt > STABLE) this._tries = 0;
      } else if (link.comet) {
        avoid(this._socketsFail, false); // it was not better: let the next try begin with a WebSocket
      } else if (env.transport !== 'websocket' && !info.code && !link.heard && --this._patience < 0) {
        this._blocked = true;
        this._attempt(true);
        return;
      }
      if (env.reconnect) this._wait(info);
      else this._finish(info, false, !info.clean);
    }

    // Off line the browser says when to try; the timer is for browsers that are wrong about it.
    _wait(info) {
      const env = this._env;
      const offline = root.navigator && root.navigator.onLine === false;
      const retry = info.retry_ms || 0;
      // An appointment that the server gave with an error is ours alone; otherwise it says when all may come.
      const spread = info.due && retry ? 0 : backoff(env, this._tries++);
      const delay = offline ? env.maxDelay * 1000 : retry + spread;
      this._stopTimers();
      this._notBefore = env.now() + retry;
      const id = env.setTimeout(() => this._attempt(), delay);
      this._timer = () => env.clearTimeout(id);
      this._setState(offline ? 'offline' : 'waiting', Object.assign({ delay }, info));
    }

    _finish(info, graceful, lost) {
      if (this.state === 'closed') return;
      this.state = 'closed'; // first: what fails from here on does so quietly
      this._ticket = undefined;
      this._release(graceful);
      this._listenToPage('removeEventListener');
      this._flush(entry => this._fail(entry, 'not_sent'));
      this._tell('state', 'closed', info);
      if (lost) this._tell('connectionLost', 'ConnectionTimeout');
      else this._tell('close', info);
    }

    // -- heartbeat: only silence is looked at, every frame received counts

    _stopTimers() {
      if (this._timer) this._timer();
      this._timer = null;
    }

    // A hidden page has time: nobody sees it, and its timers are throttled anyway.
    _rhythm() {
      const seen = root.document && !root.document.hidden;
      return this._env.pingInterval || (seen ? Math.min(this._interval, IN_FRONT) : this._interval);
    }

    // Seconds until the silence has lasted long enough.
    _rest() {
      return this._rhythm() - (this._env.now() - this._heardAt) / 1000;
    }

    _watch(seconds) {
      this._silent = false;
      if (!this._granted.ping || !seconds) return;
      this._timer = deadline(this._env, seconds, () => {
        const rest = this._rest();
        if (rest > 0) this._watch(rest);
        else this._probe();
      });
    }

    _probe() {
      if (!this._granted.ping) return;
      this._stopTimers();
      this._silent = true;
      this._transmit({ name: 'PING', args: {}, again: true, stop: noop, done: noop });
      this._timer = deadline(this._env, this._env.pongTimeout, () => {
        if (this._silent) this._lost({ reason: 'silence' });
        else this._watch(Math.max(this._rest(), 0.01));
      });
    }

    // -- what the server says

    // Frames are lines. Several may come at once: between two of them, promises already settled are acted upon.
    async _received(text) {
      const link = this._link;
      link.heard = link.heard || !!text;
      link.inbox += text;
      this._heardAt = this._env.now();
      this._silent = false;
      if (link.reading) return;
      link.reading = true;
      for (let end; this._link === link && (end = link.inbox.indexOf('\r\n')) >= 0;) {
        const line = link.inbox.slice(0, end);
        link.inbox = link.inbox.slice(end + 2);
        try {
          const [, name, args] = JSON.parse(line);
          await this._frame(name, args);
        } catch (garbage) {
          if (this._link === link) this._lost({ reason: String(garbage) });
        }
        for (let ticks = 0; ticks < 9 && link.inbox; ticks++) await null;
      }
      link.reading = false;
      if (link.down && this._link === link) this._lost(link.down);
    }

    _frame(name, args) {
      const subscription = this.subscriptions.get(args.channel_name);
      const own = args.user === this.username;
      switch (name) {
        case 'CONNECTED':
          return this._welcome(args);
        case 'SUBSCRIBE':
          if (own) return this._subscribed(subscription, args);
          return subscription && subscription._joined(args);
        case 'UNSUBSCRIBE':
          if (!subscription) return undefined;
          return own ? this._dropped(subscription, args) : subscription._left(args);
        case 'PUBLISH':
          return subscription && subscription._published(args);
        case 'STATE_UPDATE':
          return subscription && subscription._stateChanged(args);
        case 'MESSAGE':
          return this._emit('messaged', args);
        case 'SET_COOKIE':
          if (root.document) root.document.cookie = args.cookie;
          return undefined;
        case 'COOKIE':
          return this._fetchCookies(args);
        case 'ACK':
        case 'PONG':
          return this._answered(args);
        case 'ERROR':
          return this._answered(args, failure(args.code, args.msg, args.id, args.retry_ms));
        case 'CLOSE':
          return this._lost(Object.assign({ clean: true }, args));
      }
    }

    // Cookies that script must not see come with a request of their own. Who waits for the frames behind this one, such
    // as the ACK of a publish, finds them in the browser. One after the other, so that the newest come last.
    _fetchCookies({ path, resume }) {
      const env = this._env;
      const ticket = this._ticket;
      const late = pause(env, COOKIES_WITHIN * 1000);
      const ask = async () =>
        env.fetch(new URL(path, this.url).href, { method: 'POST', credentials: 'include', keepalive: true });
      const fetchAll = async () => {
        let answer;
        for (let tries = 0; !answer && tries < 3; tries++) {
          if (tries) await pause(env, 250 * tries);
          answer = await Promise.race([ask(), late.then(() => ({}))]).catch(noop);
        }
        const ok = !!answer && answer.status === 204;
        if (ok && ticket && resume) ticket.key = resume;
        this._tell('cookies', { ok });
      };
      this._fetching = this._fetching.then(fetchAll);
      return Promise.race([this._fetching, late]);
    }

    _subscribed(known, args) {
      const name = args.channel_name;
      // At login the server repeats the channels of a user still known; our question comes after that.
      const unasked = known && known._recovering && known._since && args.recovered === undefined;
      const subscription = known || new Subscription(this, name);
      subscription._snapshot(args);
      if (unasked) return;
      if (known && (known._recovering || args.recovered !== undefined)) this._recovered(known, args);
      subscription.epoch = args.epoch;
      subscription.offset = args.offset;
      if (!known) {
        this.subscriptions.set(name, subscription);
        this._emit('subscribed', name, subscription, args);
        this._emit('subscribe', name, subscription, args); // the name the old manual used
      }
      this._settle('SUBSCRIBE', name, subscription);
    }

    _recovered(subscription, args) {
      const missed = (args.recovered && args.missed) || [];
      const info = { recovered: !!args.recovered, missed: missed.length };
      subscription._recovering = false;
      missed.forEach(publication => subscription._published(publication, true));
      subscription._emit('recovered', info);
      this._emit('recovered', subscription.channelName, subscription, info);
    }

    _expectMissed(subscription) {
      const { epoch, offset } = subscription;
      subscription._recovering = true;
      subscription._since = this._granted.recover && epoch !== undefined ? { epoch, offset } : undefined;
    }

    _resubscribe(subscription, tries = 0) {
      const { channelName } = subscription;
      const link = this._link;
      this._expectMissed(subscription);
      this._transmit({
        name: 'SUBSCRIBE',
        args: { channel_name: channelName, since: subscription._since },
        again: true,
        stop: noop,
        done: error => {
          if (!error) {
            if (subscription._recovering) this._recovered(subscription, {});
          } else if (passing(error)) {
            this._env.setTimeout(
              () => {
                if (this._link === link && !subscription.canceled) this._resubscribe(subscription, tries + 1);
              },
              error.retry_ms || backoff(this._env, tries + 1)
            );
          } else {
            this._dropped(subscription, { channel_name: channelName, user: this.username, error });
          }
        },
      });
    }

    _dropped(subscription, args) {
      subscription.canceled = true;
      subscription._left(args);
      this.subscriptions.delete(subscription.channelName);
      this._settle('UNSUBSCRIBE', subscription.channelName);
      this._emit('unsubscribed', subscription, args);
    }
  }

  return {
    /**
     * Connect, and stay connected until disconnect() or until the server says not to come back.
     * `payload` may be a function, asked at every connect; `cookieString` is by default document.cookie.
     */
    connect: (url, payload, cookieString, options) => new Connection(url, payload, cookieString, options),
  };
})();

if (typeof module === 'object' && module.exports) module.exports = hookbox;
