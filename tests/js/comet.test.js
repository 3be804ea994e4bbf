'use strict';
const assert = require('node:assert/strict');
const { afterEach, beforeEach, test } = require('node:test');
const {
  Inbox,
  ManualClock,
  ScriptedServer,
  batch,
  hookbox,
  line,
  logOf,
  settled,
  socketClass,
} = require('./support.js');

let server;
let clock;
let connections;
beforeEach(async () => {
  server = await ScriptedServer.start();
  clock = new ManualClock();
  connections = [];
  const kept = new Map();
  globalThis.localStorage = {
    getItem: key => kept.get(key) || null,
    setItem: (key, value) => kept.set(key, String(value)),
  };
});
afterEach(async () => {
  for (const conn of connections) conn.disconnect();
  await server.stop();
  delete globalThis.localStorage;
});

function connect(options = {}) {
  const conn = hookbox.connect(server.url, undefined, undefined, { ...clock.options(), WebSocket: null, ...options });
  connections.push(conn);
  const log = logOf(conn);
  const states = new Inbox();
  conn.on('state', state => states.put(state));
  const reached = async state => {
    while (conn.state !== state) await states.next(state);
  };
  return { conn, log, reached };
}

/** Wait until the client's clock has a timer that fires so soon (its I/O has been done), then let it fire. */
async function elapse(ms) {
  const deadline = Date.now() + 10000;
  while (!clock.timers.some(timer => timer.due - clock.time === ms)) {
    if (Date.now() > deadline) throw new Error(`no timer of ${ms} ms`);
    await settled();
  }
  await clock.advance(ms);
}

const welcome = (id = 1, args = {}) =>
  line(id, 'CONNECTED', { name: 'ann', features: ['ack', 'recover', 'ping', 'close', 'resume'], ping_interval: 25, ...args });
const own = args => ({
  channel_name: 'lobby',
  user: 'ann',
  history: [],
  state: {},
  presence: [],
  offset: 0,
  epoch: 'e',
  ...args,
});

/** A connected client: { conn, log, reached, poll }, `poll` being the open comet request. */
async function connected(options) {
  const all = connect(options);
  await server.handshake();
  const poll = await server.next('comet');
  await server.frame('CONNECT');
  poll.write(batch());
  poll.write(batch([1, 0, welcome()]));
  await all.reached('connected');
  return { ...all, poll };
}

/** What the connection hears as messages, awaited one by one. */
function messages(conn) {
  const inbox = new Inbox();
  conn.onMessaged = args => inbox.put(args.payload);
  return inbox;
}

const message = (id, payload) => [id, 0, line(id, 'MESSAGE', { payload })];

test('a session begins with a handshake, CONNECT is sent and a stream opened', async () => {
  const requests = [];
  const { conn, reached } = connect({ fetch: (url, init) => (requests.push(init), fetch(url, init)) });
  const handshake = await server.handshake();
  assert.deepEqual([handshake.method, handshake.path, handshake.body], ['POST', '/csp/handshake', '{}']);
  const poll = await server.next('comet');
  const send = await server.next('send');
  send.answer(200, '("OK")');
  assert.deepEqual(poll.query, { s: 's1', a: '0', is: '1', bs: '\n' });
  assert.equal(poll.body, '');
  assert.deepEqual(send.query, { s: 's1', a: '0' });
  const [[id, encoding, text]] = JSON.parse(send.body);
  assert.deepEqual([id, encoding, JSON.parse(text)[1], text.slice(-2)], [1, 0, 'CONNECT', '\r\n']);
  poll.write(batch([1, 0, welcome()]));
  await reached('connected');
  assert.equal(conn.transport, 'comet');
  assert.ok(requests.every(({ method, credentials }) => method === 'POST' && credentials === 'include'));
  // text/plain needs no preflight
  assert.deepEqual(
    requests.map(({ headers }) => headers),
    requests.map(() => undefined)
  );
});

test('a stream carries many batches; the next one acknowledges them', async () => {
  const { conn, poll } = await connected();
  const heard = messages(conn);
  const text = batch(message(2, 'one'), message(3, 'two')) + batch() + batch(message(4, 'three'));
  for (const piece of text.match(/[^]{1,11}/g)) {
    poll.write(piece);
    await settled();
  }
  for (const payload of ['one', 'two', 'three']) assert.equal(await heard.next(), payload);
  poll.end();
  assert.equal((await server.next('comet')).query.a, '4');
});

test('packets may be base64, and frames spread over packets', async () => {
  const { conn, poll } = await connected();
  const heard = messages(conn);
  const text = line(2, 'MESSAGE', { payload: '\u00e9??>>~~' }).replace(/\u00e9/, '\\u00e9');
  const encoded = Buffer.from(text).toString('base64url');
  poll.write(batch([2, 1, encoded]));
  assert.equal(await heard.next(), 'é??>>~~');
  poll.write(batch([3, 1, Buffer.from(text.slice(0, 10)).toString('base64')], [4, 0, text.slice(10)]));
  assert.equal(await heard.next(), 'é??>>~~');
});

test('text of any script survives both ways', async () => {
  const { conn, poll } = await connected();
  const heard = messages(conn);
  const text = 'é 世 😀 \u2028 "\\';
  conn.publish('lobby', text);
  assert.equal(JSON.parse((await server.frame('PUBLISH')).payload), text);
  const ascii = JSON.stringify([2, 'MESSAGE', { payload: text }]).replace(
    /[^\0-~]/g,
    unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  );
  poll.write(batch([2, 0, `${ascii}\r\n`]));
  assert.equal(await heard.next(), text);
});

test('D4 a cut stream is resumed where it was, and what comes again is heard once', async () => {
  const { conn, poll } = await connected();
  const heard = messages(conn);
  poll.write(batch(message(2, 'one')));
  poll.write(batch(message(3, 'two')).slice(0, 30));
  assert.equal(await heard.next(), 'one');
  poll.cut();
  await elapse(250);
  const again = await server.next('comet');
  assert.equal(again.query.a, '2');
  again.write(batch(message(2, 'one'), message(3, 'two'), message(4, 'three')));
  assert.deepEqual([await heard.next(), await heard.next()], ['two', 'three']);
});

test('D4 a stream that is cut again and again, but carries something each time, keeps its session', async () => {
  const { conn, poll } = await connected();
  const heard = messages(conn);
  let stream = poll;
  for (let id = 2; id < 12; id++) {
    stream.write(batch(message(id, id)));
    assert.equal(await heard.next(), id);
    stream.cut();
    await elapse(250);
    stream = await server.next('comet');
    assert.deepEqual([stream.query.s, stream.query.a], ['s1', String(id)]);
  }
});

test('without streaming each answer is one poll', async () => {
  const { conn, reached } = connect({ streaming: false });
  await server.handshake();
  const first = await server.next('comet');
  assert.equal(first.query.is, '0');
  await clock.advance(3000);
  first.answer(200, '([[1, 0, ' + JSON.stringify(welcome()) + ']])');
  await reached('connected');
  const heard = messages(conn);
  const second = await server.next('comet');
  assert.equal(second.query.a, '1');
  second.answer(200, batch(message(2, 'one')));
  assert.equal(await heard.next(), 'one');
  assert.equal((await server.next('comet')).query.a, '2');
});

test('a stream whose first batch does not arrive is taken for buffered: long polls, and that is remembered', async () => {
  const { conn, reached } = connect();
  await server.handshake();
  const stream = await server.next('comet');
  assert.equal(stream.query.is, '1');
  await clock.advance(2999);
  assert.equal(conn.state, 'connecting');
  await clock.advance(1);
  await stream.gone;
  const poll = await server.next('comet');
  assert.equal(poll.query.is, '0');
  poll.answer(200, batch([1, 0, welcome()]));
  await reached('connected');
  await server.next('comet');
  connect();
  await server.handshake();
  assert.equal((await server.next('comet')).query.is, '0');
});

test('a stream is not taken for buffered because our timer was late', async () => {
  const { reached } = connect();
  await server.handshake();
  const stream = await server.next('comet');
  await clock.oversleep(6000);
  stream.write(batch());
  stream.write(batch([1, 0, welcome()]));
  await reached('connected');
  await clock.advance(6000);
  stream.end();
  assert.equal((await server.next('comet')).query.is, '1');
});

test('a send is repeated with the same id until it is acknowledged, and no other goes out meanwhile', async () => {
  const { conn } = await connected();
  conn.publish('lobby', 1);
  const first = await server.next('send');
  conn.publish('lobby', 2);
  conn.publish('lobby', 3);
  first.cut();
  await elapse(500);
  const second = await server.next('send');
  assert.equal(second.body, first.body);
  second.answer(503);
  await elapse(1000);
  const third = await server.next('send');
  assert.equal(third.body, first.body);
  third.answer(200, '("OK")');
  const [[id, , text]] = JSON.parse((await server.next('send')).body);
  assert.equal(id, 3);
  assert.deepEqual(
    text
      .split('\r\n')
      .filter(Boolean)
      .map(frame => JSON.parse(JSON.parse(frame)[2].payload)),
    [2, 3]
  );
});

test('a send without an answer is repeated too', async () => {
  const { conn, poll } = await connected();
  conn.publish('lobby', 1);
  const first = await server.next('send');
  poll.write(batch());
  await clock.advance(10000);
  await elapse(500);
  assert.equal((await server.next('send')).body, first.body);
});

test('a session the server does not know any more is replaced by a new one that recovers', async () => {
  for (const way of ['comet', 'send']) {
    const { conn, poll, reached } = await connected();
    poll.write(batch([2, 0, line(2, 'SUBSCRIBE', own({ offset: 5 }))]));
    await conn.subscribe('lobby');
    await server.frame('SUBSCRIBE');
    if (way === 'comet') {
      poll.end();
    } else {
      conn.message('bob', 1);
    }
    const { query } = await server.next(way).then(exchange => (exchange.answer(404, "'Session not found'"), exchange));
    if (way === 'send') await elapse(1000); // for the last words of the server that knew it
    await reached('waiting');
    await elapse(250);
    await server.handshake();
    const again = await server.next('comet');
    assert.notEqual(again.query.s, query.s);
    assert.equal(again.query.a, '0');
    again.write(batch([1, 0, welcome()]));
    assert.deepEqual((await server.frame('SUBSCRIBE')).since, { epoch: 'e', offset: 5 });
    conn.disconnect();
  }
});

test('what found a new server before the goodbye of the old one had come is sent to the new one', async () => {
  const { conn, poll, log } = await connected();
  const sent = conn.message('bob', 1);
  const refused = await server.next('send');
  refused.answer(404, "'Session not found'");
  const later = conn.message('bob', 2);
  poll.write(batch([2, 0, line(2, 'CLOSE', { code: 1012, reason: 'server restarts', retry_ms: 0, handled: 1 })]));
  await elapse(250);
  await server.handshake();
  const again = await server.next('comet');
  again.write(batch([1, 0, welcome()]));
  await server.frame('MESSAGE');
  again.write(batch([2, 0, line(2, 'ACK', { id: 2 })], [3, 0, line(3, 'ACK', { id: 3 })]));
  await Promise.all([sent, later]);
  assert.deepEqual(log.of('error'), []);
});

test('a packet missing in the sequence ends the session', async () => {
  const { poll, reached } = await connected();
  poll.write(batch(message(3, 'hole before me')));
  await reached('waiting');
  assert.equal((await server.next('close')).query.s, 's1');
});

test('the server’s end of stream reconnects, after its goodbye when that says so', async () => {
  const { poll, reached, log } = await connected();
  const bye = line(2, 'CLOSE', { code: 1012, reason: 'restart', retry_ms: 1000 });
  poll.end(batch([2, 0, bye], [3, 0, null]));
  await reached('waiting');
  const [, detail] = log.of('state').pop();
  assert.deepEqual([detail.code, detail.delay], [1012, 1250]);
});

test('an end of stream without a goodbye reconnects as well', async () => {
  const { poll, reached } = await connected();
  poll.end(batch([2, 0, null]));
  await reached('waiting');
});

test('a final goodbye is final over comet too', async () => {
  const { poll, reached, log } = await connected();
  poll.end(batch([2, 0, line(2, 'CLOSE', { code: 4504, reason: 'disconnected by the application' })]));
  await reached('closed');
  assert.equal(log.of('close')[0][0].code, 4504);
});

test('disconnect sends what was written, then closes, and calls onClose', async () => {
  const { conn, reached, log } = await connected();
  conn.publish('lobby', 'last words');
  conn.disconnect();
  await reached('closed');
  assert.equal(log.of('close').length, 1);
  assert.equal((await server.frame('PUBLISH')).payload, '"last words"');
  const close = await server.next('close');
  assert.deepEqual([close.method, close.query.s], ['POST', 's1']);
});

test('leaving the page closes the session', async () => {
  const listeners = [];
  globalThis.addEventListener = (type, listener) => listeners.push([type, listener]);
  globalThis.removeEventListener = () => {};
  try {
    await connected();
    for (const [type, listener] of listeners) if (type === 'pagehide') listener({ type });
    assert.equal((await server.next('close')).query.s, 's1');
  } finally {
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
  }
});

test('answers that are empty at once do not make the client spin', async () => {
  const { reached } = connect();
  await server.handshake();
  for (const pause of [250, 500, 1000, 2000]) {
    (await server.next('comet')).answer(200, batch());
    await elapse(pause);
  }
  (await server.next('comet')).answer(200, batch());
  await reached('waiting');
});

test('answers that are no batches are failures', async () => {
  await connected().then(({ poll }) => poll.cut());
  for (const [pause, answer] of [
    [250, 'alert(1)'],
    [500, '<html>'],
    [1000, '([[2'],
  ]) {
    await elapse(pause);
    (await server.next('comet')).answer(200, answer);
  }
  await elapse(2000);
  assert.equal((await server.next('comet')).query.a, '1');
});

test('a handshake that fails is tried again, not before the server’s Retry-After', async () => {
  const { reached, log } = connect();
  for (const [answer, delay] of [
    [handshake => handshake.answer(503, '', { 'Retry-After': '7' }), 7250],
    [handshake => handshake.answer(403), 500],
    [handshake => handshake.answer(200, 'garbage'), 1000],
    [handshake => handshake.cut(), 2000],
  ]) {
    answer(await server.next('handshake'));
    await reached('waiting');
    assert.equal(log.of('state').pop()[1].delay, delay);
    await elapse(delay);
  }
});

test('silence on the stream is noticed although sends still get through', async () => {
  const { conn, reached } = await connected({ pingInterval: 25 });
  await clock.advance(25000);
  await server.frame('PING');
  assert.equal(conn.state, 'connected');
  await clock.advance(8000);
  await reached('waiting');
});

// -- WebSocket first

/** A connection that has both transports. */
function both(options) {
  const sockets = socketClass();
  return { sockets, ...connect({ WebSocket: sockets, ...options }) };
}

async function overComet({ reached }) {
  await server.handshake();
  const poll = await server.next('comet');
  poll.write(batch([1, 0, welcome()]));
  await reached('connected');
  return poll;
}

test('a WebSocket that closes before it opens is replaced by comet at once', async () => {
  const all = both();
  await all.sockets.last.drop();
  await overComet(all);
  assert.equal(all.conn.transport, 'comet');
  assert.deepEqual(all.log.states(), ['connecting', 'connected']);
});

test('a WebSocket that hangs is replaced by comet', async () => {
  const all = both();
  await clock.advance(8000);
  await overComet(all);
});

test('a WebSocket that opens and carries nothing is replaced by comet', async () => {
  const all = both();
  await all.sockets.last.open();
  await clock.advance(16000);
  await overComet(all);
});

test('that a WebSocket does not get through is remembered for an hour, in every page of the origin', async () => {
  const all = both();
  await all.sockets.last.drop();
  await overComet(all);
  const until = +localStorage.getItem(`hookbox.socket ${server.url}`);
  assert.ok(Math.abs(until - Date.now() - 3600000) < 60000);
  assert.equal(both().sockets.all.length, 0);
  for (const stale of [Date.now() - 1, Date.now() + 7200000, 'nonsense']) {
    localStorage.setItem(`hookbox.socket ${server.url}`, stale);
    assert.equal(both().sockets.all.length, 1, String(stale));
  }
});

test('it is remembered by the page where there is no storage', async () => {
  Object.defineProperty(globalThis, 'localStorage', {
    configurable: true,
    get() {
      throw new Error('SecurityError');
    },
  });
  const all = both();
  await all.sockets.last.drop();
  await overComet(all);
  assert.equal(both().sockets.all.length, 0);
});

test('when comet fails as well nothing is remembered, and the next try begins with a WebSocket', async () => {
  const all = both();
  await all.sockets.last.drop();
  (await server.next('handshake')).cut();
  await all.reached('waiting');
  await elapse(250);
  assert.equal(all.sockets.all.length, 2);
  assert.equal(+localStorage.getItem(`hookbox.socket ${server.url}`), 0);
});

test('where a WebSocket has worked, a refused one is taken for a restarting server three times', async () => {
  const all = both();
  await all.sockets.last.connected();
  await all.sockets.last.drop();
  for (const delay of [250, 500, 1000]) {
    await elapse(delay);
    await all.sockets.last.drop();
  }
  assert.equal(all.sockets.all.length, 4);
  await overComet(all);
});

test('a refusal in words is no reason for comet', async () => {
  const closed = both();
  await closed.sockets.last.open();
  await closed.sockets.last.drop(1013, 'overload');
  assert.equal(closed.conn.state, 'waiting');
  const failed = both();
  await failed.sockets.last.open();
  await failed.sockets.last.say('ERROR', { id: 1, msg: 'x', code: 'app_unavailable' });
  assert.equal(failed.conn.state, 'waiting');
});

test('a page may allow one transport only', async () => {
  const socketOnly = both({ transport: 'websocket' });
  await socketOnly.sockets.last.drop();
  assert.equal(socketOnly.conn.state, 'waiting');
  const cometOnly = both({ transport: 'comet' });
  await overComet(cometOnly);
  assert.equal(cometOnly.sockets.all.length, 0);
});
