'use strict';
const assert = require('node:assert/strict');
const { afterEach, beforeEach, test } = require('node:test');
const { line, scripted, settled } = require('./support.js');

async function connected(options) {
  const all = scripted(options);
  await all.sockets.last.connected();
  return { ...all, server: all.sockets.last };
}

/** A page to the client: events of window and document, and whether there is a network. */
let page;
beforeEach(() => {
  page = { listeners: [] };
  const target = {
    addEventListener: (type, listener) => page.listeners.push([type, listener]),
    removeEventListener: (type, listener) => {
      page.listeners = page.listeners.filter(([name, fn]) => name !== type || fn !== listener);
    },
  };
  page.fire = async type => {
    for (const [name, listener] of page.listeners) if (name === type) listener({ type });
    await settled();
  };
  Object.assign(globalThis, target);
  globalThis.document = { hidden: false, baseURI: 'http://page.test/', cookie: '', ...target };
  Object.defineProperty(globalThis, 'navigator', { configurable: true, value: { onLine: true } });
});
afterEach(() => {
  for (const name of ['addEventListener', 'removeEventListener', 'document']) delete globalThis[name];
  Object.defineProperty(globalThis, 'navigator', { configurable: true, value: undefined });
});

// -- when it tries again

test('F17 the back-off has full jitter under a ceiling that doubles from 0.5 s to 30 s', async () => {
  const { clock, sockets, log } = scripted();
  const ceilings = [];
  for (let tries = 0; tries < 9; tries++) {
    clock.random = 1;
    await sockets.last.drop();
    ceilings.push(clock.next);
    await clock.advance(clock.next);
  }
  assert.deepEqual(ceilings, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  clock.random = 0.1;
  await sockets.last.drop();
  assert.equal(clock.next, 3000);
  assert.equal(log.of('state').pop()[1].delay, 3000);
});

test('a connection that lasted starts the back-off over, one that was cut at once does not', async () => {
  const { clock, sockets, server } = await connected();
  clock.random = 1;
  await server.drop();
  await clock.advance(500);
  await sockets.last.connected();
  await clock.advance(1000);
  await sockets.last.drop();
  assert.equal(clock.next, 1000);
  await clock.advance(1000);
  await sockets.last.connected();
  await clock.advance(10001);
  await sockets.last.drop();
  assert.equal(clock.next, 500);
});

test('states tell the story', async () => {
  const { conn, clock, sockets, log, server } = await connected();
  await server.drop();
  await clock.advance(500);
  await sockets.last.connected({ name: 'ann2' });
  assert.equal(conn.username, 'ann2');
  conn.disconnect();
  await settled();
  assert.deepEqual(log.states(), ['connecting', 'connected', 'waiting', 'connecting', 'connected', 'closed']);
  assert.deepEqual([log.of('open').length, log.of('reconnected').length, log.of('close').length], [1, 1, 1]);
  assert.equal(page.listeners.length, 0);
});

test('close codes 1000 and 4500 to 4999 are final, all others are not', async () => {
  for (const [code, state] of [
    [1000, 'closed'],
    [4500, 'closed'],
    [4999, 'closed'],
    [1001, 'waiting'],
    [1005, 'waiting'],
    [1006, 'waiting'],
    [1008, 'waiting'],
    [1011, 'waiting'],
    [1012, 'waiting'],
    [1013, 'waiting'],
    [4000, 'waiting'],
    [4499, 'waiting'],
  ]) {
    const { conn, server, log } = await connected();
    await server.drop(code, 'why');
    assert.equal(conn.state, state, `code ${code}`);
    assert.equal(log.of('close').length, state === 'closed' ? 1 : 0);
    if (state === 'closed') assert.deepEqual(log.of('close')[0][0], { code, reason: 'why', clean: true });
    conn.disconnect();
  }
});

test('the goodbye frame is honoured before the socket closes: when to come back', async () => {
  const { conn, clock, server, log } = await connected();
  await server.say('CLOSE', { code: 1012, reason: 'server restarts', retry_ms: 4000 });
  assert.equal(conn.state, 'waiting');
  assert.equal(server.closedWith, 1000);
  assert.equal(clock.next, 4000 + 250);
  const [, detail] = log.of('state').pop();
  assert.deepEqual([detail.code, detail.reason, detail.delay], [1012, 'server restarts', 4250]);
});

test('the goodbye frame is honoured: never to come back', async () => {
  const { conn, clock, sockets, server, log } = await connected();
  await server.say('CLOSE', { code: 4502, reason: 'revoked' });
  await clock.advance(600000);
  assert.deepEqual([conn.state, sockets.all.length, log.of('close')[0][0].code], ['closed', 1, 4502]);
});

test('nothing brings the client back before the time the server named', async () => {
  const { clock, sockets, server } = await connected();
  await server.say('CLOSE', { code: 1013, reason: 'overload', retry_ms: 5000 });
  await page.fire('online');
  await page.fire('visibilitychange');
  assert.equal(sockets.all.length, 1);
  await clock.advance(5000);
  await page.fire('online');
  assert.equal(sockets.all.length, 2);
});

test('a refused CONNECT is not repeated: the page is told and decides', async () => {
  const { conn, clock, sockets, log } = scripted();
  const waiting = conn.subscribe('lobby');
  await sockets.last.open();
  await sockets.last.say('ERROR', { id: 1, msg: 'Log in first', code: 'denied' });
  await assert.rejects(waiting, { code: 'denied' });
  assert.equal(conn.state, 'refused');
  assert.equal(log.of('error')[0][0].msg, 'Log in first');
  await clock.advance(50000);
  assert.equal(sockets.all.length, 1);
  conn.reconnect();
  assert.equal(sockets.all.length, 2);
  await sockets.last.connected();
  assert.equal(conn.state, 'connected');
});

test('a refused connection that the server gives up on is closed for good', async () => {
  const { conn, sockets } = scripted();
  await sockets.last.open();
  await sockets.last.say('ERROR', { id: 1, msg: 'no', code: 'denied' });
  await sockets.last.drop(4501, 'no CONNECT in time');
  assert.equal(conn.state, 'closed');
});

test('a CONNECT that the application could not answer is tried again', async () => {
  for (const code of ['app_unavailable', 'unavailable', 'rate', 'internal']) {
    const { conn, clock, sockets } = scripted();
    await sockets.last.open();
    await sockets.last.say('ERROR', { id: 1, msg: 'failure', code });
    assert.equal(conn.state, 'waiting');
    await clock.advance(250);
    await sockets.last.connected();
    assert.equal(conn.state, 'connected');
  }
});

test('F17 a client that was given an appointment keeps it to the moment', async () => {
  const { conn, clock, sockets } = scripted();
  for (const retry_ms of [7000, 900]) {
    await sockets.last.open();
    await sockets.last.say('ERROR', { id: 1, msg: 'failure', code: 'app_unavailable', retry_ms });
    assert.equal(clock.next, retry_ms);
    await clock.advance(retry_ms - 1);
    assert.equal(conn.state, 'waiting');
    await clock.advance(1);
    assert.equal(conn.state, 'connecting');
  }
});

test('F30 after a goodbye clients do not come back all in the same moment', async () => {
  const { clock, sockets } = scripted();
  await sockets.last.connected();
  await sockets.last.say('CLOSE', { code: 1012, reason: 'server restarts', retry_ms: 2000 });
  assert.equal(clock.next, 2000 + 0.5 * 500);
});

test('a payload given as a function is asked at every connect', async () => {
  let token = 0;
  const { clock, sockets } = scripted({}, () => ({ token: ++token }));
  await sockets.last.connected();
  await sockets.last.drop();
  await clock.advance(1000);
  await sockets.last.open();
  assert.equal(sockets.last.frame('CONNECT').payload, '{"token":2}');
});

test('a transport that does not open, or does not get a CONNECTED, is given up', async () => {
  const { conn, clock, sockets } = scripted();
  await clock.advance(7999);
  assert.equal(conn.state, 'connecting');
  await clock.advance(1);
  assert.equal(conn.state, 'waiting');
  await clock.advance(500);
  await sockets.last.open();
  await clock.advance(15999);
  assert.equal(conn.state, 'connecting');
  await clock.advance(1);
  assert.equal(conn.state, 'waiting');
});

test('what is left of an old socket changes nothing any more', async () => {
  const { conn, clock, sockets, server } = await connected();
  const { onmessage, onclose } = server;
  await server.say('CLOSE', { code: 1012, reason: 'x', retry_ms: 0 });
  onmessage({ data: line(9, 'MESSAGE', {}) });
  await clock.advance(1000);
  await sockets.last.connected();
  onclose({ code: 4500, reason: '', wasClean: true });
  await settled();
  assert.equal(conn.state, 'connected');
});

test('a line that is no frame ends the connection, which then recovers', async () => {
  const { conn, server } = await connected();
  await server.raw('{"not":"a frame"\r\n');
  assert.equal(conn.state, 'waiting');
});

test('frames may arrive in pieces and several at once', async () => {
  const { conn, server } = await connected();
  const heard = [];
  conn.onMessaged = args => heard.push(args.payload);
  const text = [1, 2, 3].map(payload => line(payload, 'MESSAGE', { payload })).join('');
  for (const piece of text.match(/[^]{1,7}/g)) await server.raw(piece);
  await server.raw(text);
  assert.deepEqual(heard, [1, 2, 3, 1, 2, 3]);
});

test('a WebSocket that cannot even be made counts as one that failed', async () => {
  const { conn } = scripted({
    WebSocket: class {
      constructor() {
        throw new Error('mixed content');
      }
    },
  });
  await settled();
  assert.equal(conn.state, 'waiting');
});

test('a page that disconnects from inside any event is not reconnected', async () => {
  for (const event of ['state', 'error', 'recovered', 'open', 'reconnected']) {
    const { conn, clock, sockets, server } = await connected();
    await server.subscribed('lobby');
    conn.publish('lobby', 1);
    conn.on(event, () => conn.disconnect());
    await server.drop();
    await clock.advance(1000);
    if (conn.state !== 'closed') {
      await sockets.last.connected();
      await sockets.last.subscribed('lobby', { recovered: true, missed: [] });
    }
    const made = sockets.all.length;
    await clock.advance(600000);
    assert.deepEqual(
      [event, conn.state, clock.timers.length],
      [event, event === 'open' ? conn.state : 'closed', event === 'open' ? clock.timers.length : 0]
    );
    if (event !== 'open') assert.equal(sockets.all.length, made);
    conn.disconnect();
  }
});

test('a closed connection can be taken up again and recovers', async () => {
  const { conn, sockets, server } = await connected();
  await server.subscribed('lobby', { offset: 4 });
  conn.disconnect();
  await settled();
  conn.reconnect();
  await sockets.last.connected();
  assert.deepEqual(sockets.last.frame('SUBSCRIBE').since, { epoch: 'e1', offset: 4 });
});

test('reconnect, as after a login, begins anew with the cookies of now and recovers', async () => {
  document.cookie = 'sid=before';
  const { conn, sockets, server } = await connected();
  await server.subscribed('lobby', { offset: 4 });
  const published = conn.publish('lobby', 1);
  document.cookie = 'sid=after';
  conn.reconnect();
  await assert.rejects(published, { code: 'unacknowledged' });
  assert.equal(server.closedWith, 1000);
  assert.equal(sockets.all.length, 2);
  await sockets.last.connected();
  assert.equal(sockets.last.frame('CONNECT').cookie_string, 'sid=after');
  assert.deepEqual(sockets.last.frame('SUBSCRIBE').since, { epoch: 'e1', offset: 4 });
});

// -- the page's own signs

test('off line nothing hammers; on line it tries at once', async () => {
  const { conn, clock, sockets, server, log } = await connected();
  navigator.onLine = false;
  await page.fire('offline');
  await server.drop();
  assert.equal(conn.state, 'offline');
  await clock.advance(29999);
  assert.equal(sockets.all.length, 1);
  navigator.onLine = true;
  await page.fire('online');
  assert.equal(sockets.all.length, 2);
  assert.deepEqual(log.states().slice(-2), ['offline', 'connecting']);
});

test('a browser that is wrong about being off line is not believed for ever', async () => {
  const { conn, clock, sockets, server } = await connected();
  navigator.onLine = false;
  await server.drop();
  await clock.advance(30000);
  await sockets.last.connected();
  assert.equal(conn.state, 'connected');
});

test('going off line while waiting stops the waiting', async () => {
  const { conn, clock, server } = await connected();
  await server.drop();
  assert.equal(conn.state, 'waiting');
  navigator.onLine = false;
  await page.fire('offline');
  assert.equal(conn.state, 'offline');
  assert.deepEqual([clock.timers.length, clock.next], [1, 30000]);
});

test('a page shown again tries at once, a page being hidden does not', async () => {
  const { sockets, server } = await connected();
  await server.drop();
  document.hidden = true;
  await page.fire('visibilitychange');
  assert.equal(sockets.all.length, 1);
  document.hidden = false;
  await page.fire('visibilitychange');
  assert.equal(sockets.all.length, 2);
});

test('a page shown again, or a network gone or come, asks at once whether the connection lives', async () => {
  for (const event of ['visibilitychange', 'offline', 'online']) {
    const { conn, clock, server } = await connected();
    await page.fire(event);
    assert.equal(server.names().pop(), 'PING');
    await page.fire(event);
    assert.equal(server.sent.filter(([, name]) => name === 'PING').length, 1);
    await clock.advance(8000);
    assert.equal(conn.state, 'waiting');
    conn.disconnect();
  }
});

// -- heartbeat

test('F11 a dead network is noticed after the silence and one unanswered PING', async () => {
  const { conn, clock, server } = await connected({ pingInterval: 25 });
  await clock.advance(24999);
  assert.equal(server.frame('PING'), undefined);
  await clock.advance(1);
  assert.deepEqual(server.names(), ['CONNECT', 'PING']);
  await clock.advance(7999);
  assert.equal(conn.state, 'connected');
  await clock.advance(1);
  assert.equal(conn.state, 'waiting');
  assert.equal(server.closedWith, 1000);
});

test('a page that somebody looks at asks sooner than a hidden one', async () => {
  for (const [hidden, silence] of [[false, 10000], [true, 25000]]) {
    document.hidden = hidden;
    const { clock, server, conn } = await connected();
    await clock.advance(silence - 1);
    assert.deepEqual(server.names(), ['CONNECT']);
    await clock.advance(1);
    assert.deepEqual(server.names(), ['CONNECT', 'PING']);
    conn.disconnect();
  }
  document.hidden = false;
});

test('a PONG, or anything else, keeps the connection', async () => {
  const { conn, clock, server } = await connected({ pingInterval: 25 });
  for (let round = 0; round < 5; round++) {
    await clock.advance(25000);
    await server.say('PONG', { id: server.frame('PING').id });
  }
  await clock.advance(25000);
  await server.say('MESSAGE', { sender: 'bob', recipient: 'ann', payload: 1, datetime: 'd' });
  await clock.advance(10000);
  assert.equal(conn.state, 'connected');
});

test('where frames come anyway no PING is sent', async () => {
  const { clock, server } = await connected({ pingInterval: 25 });
  for (let second = 0; second < 120; second += 20) {
    await clock.advance(20000);
    await server.say('MESSAGE', { sender: 'bob', recipient: 'ann', payload: 1, datetime: 'd' });
  }
  assert.deepEqual(server.names(), ['CONNECT']);
});

test('a timer that was late itself does not condemn the connection', async () => {
  const { conn, clock, server } = await connected({ pingInterval: 25 });
  await clock.advance(25000);
  await clock.oversleep(60000);
  assert.equal(conn.state, 'connected');
  await server.say('PONG', { id: server.frame('PING').id }); // was on its way all the time
  await clock.advance(10000);
  assert.equal(conn.state, 'connected');
});

test('a network that is dead is noticed even where all timers are late', async () => {
  const { conn, clock } = await connected();
  for (let minute = 0; minute < 4; minute++) await clock.oversleep(60000);
  assert.equal(conn.state, 'waiting');
});

test('a server without PING is sent none', async () => {
  const { clock, sockets, conn } = scripted();
  await sockets.last.connected({ features: ['ack'] });
  await clock.advance(600000);
  assert.deepEqual([sockets.last.names(), conn.state], [['CONNECT'], 'connected']);
});

test('the page may want to know sooner', async () => {
  const { conn, clock } = await connected({ pingInterval: 5, pongTimeout: 2 });
  await clock.advance(7000);
  assert.equal(conn.state, 'waiting');
});
