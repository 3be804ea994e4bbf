'use strict';
// Cookies that script must not see: announced by a frame, fetched by a request of the browser's own.
const assert = require('node:assert/strict');
const test = require('node:test');
const { scripted, settled } = require('./support.js');

/** A connection in something like a browser; `asked` has the requests, which the test answers or breaks. */
function inBrowser(t, refusing) {
  globalThis.location = { href: 'http://page.test/' };
  t.after(() => delete globalThis.location);
  const asked = [];
  const fetch = (url, init) =>
    new Promise((answer, fail) => {
      asked.push({
        url,
        init,
        answer: async status => {
          answer({ status });
          await settled();
        },
        fail: async () => {
          fail(new TypeError('network'));
          await settled();
        },
      });
    });
  const all = scripted({ fetch: refusing || fetch });
  const outcomes = [];
  all.conn.onCookies = outcome => outcomes.push(outcome.ok);
  return { ...all, asked, outcomes };
}

test('only a browser asks for cookies, since nothing else has a place for them', async t => {
  const node = scripted();
  await node.sockets.last.open();
  assert.equal(node.sockets.last.frame('CONNECT').features.includes('cookies'), false);
  const browser = inBrowser(t);
  await browser.sockets.last.open();
  assert.equal(browser.sockets.last.frame('CONNECT').features.includes('cookies'), true);
});

test('they are fetched by a POST with credentials, and frames behind them wait until they are there', async t => {
  const { conn, sockets, asked, outcomes } = inBrowser(t);
  await sockets.last.connected();
  let position;
  conn.publish('lobby', 1).then(value => (position = value));
  await sockets.last.say('COOKIE', { path: 'cookie/k1' });
  await sockets.last.ack('PUBLISH', { offset: 1 });
  assert.equal(position, undefined);
  assert.equal(asked[0].url, 'http://hookbox.test/cookie/k1');
  assert.deepEqual(asked[0].init, { method: 'POST', credentials: 'include', keepalive: true });
  await asked[0].answer(204);
  assert.equal(position.offset, 1);
  assert.deepEqual([outcomes, asked.length], [[true], 1]);
});

test('those of the login come before CONNECTED', async t => {
  const { conn, sockets, asked } = inBrowser(t);
  await sockets.last.open();
  await sockets.last.say('COOKIE', { path: 'cookie/k1' });
  await sockets.last.say('CONNECTED', { name: 'ann', features: [] });
  assert.equal(conn.connected, false);
  await asked[0].answer(204);
  assert.equal(conn.connected, true);
});

test('a request that fails is tried twice more; one that is refused is not', async t => {
  const { clock, sockets, asked, outcomes } = inBrowser(t);
  await sockets.last.connected();
  await sockets.last.say('COOKIE', { path: 'cookie/k1' });
  await asked[0].fail();
  await clock.advance(300);
  await asked[1].fail();
  await clock.advance(600);
  await asked[2].answer(204);
  await sockets.last.say('COOKIE', { path: 'cookie/k2' });
  await asked[3].answer(410);
  await clock.advance(1000);
  assert.deepEqual([outcomes, asked.length], [[true, false], 4]);
});

test('a page that may not ask at all goes on without them', async t => {
  const { conn, clock, sockets, outcomes } = inBrowser(t, () => {
    throw new TypeError('refused by the policy');
  });
  await sockets.last.connected();
  const published = conn.publish('lobby', 1);
  await sockets.last.say('COOKIE', { path: 'cookie/k1' });
  await sockets.last.say('COOKIE', { path: 'http://[' });
  await sockets.last.ack('PUBLISH', { offset: 1 });
  await clock.advance(2000);
  assert.equal((await published).offset, 1);
  assert.deepEqual([conn.state, outcomes], ['connected', [false, false]]);
});

test('an answer that never comes holds nothing up for long', async t => {
  const { conn, clock, sockets, asked, outcomes } = inBrowser(t);
  await sockets.last.connected();
  const published = conn.publish('lobby', 1);
  await sockets.last.say('COOKIE', { path: 'cookie/k1' });
  await sockets.last.ack('PUBLISH', { offset: 1 });
  await clock.advance(5000);
  assert.equal((await published).offset, 1);
  assert.deepEqual([outcomes, asked.length], [[false], 1]);
});

test('the newest are fetched last', async t => {
  const { clock, sockets, asked } = inBrowser(t);
  await sockets.last.connected();
  await sockets.last.say('COOKIE', { path: 'cookie/k1' });
  await sockets.last.say('COOKIE', { path: 'cookie/k2' });
  assert.equal(asked.length, 1);
  await clock.advance(100);
  await asked[0].answer(204);
  assert.equal(asked[1].url, 'http://hookbox.test/cookie/k2');
});

test('the ticket changes with the cookies, once they are there', async t => {
  const { clock, sockets, asked } = inBrowser(t);
  await sockets.last.connected({ resume: 'old' });
  await sockets.last.say('COOKIE', { path: 'cookie/k1', resume: 'new' });
  await sockets.last.say('COOKIE', { path: 'cookie/k2', resume: 'never' });
  await asked[0].answer(204);
  await asked[1].answer(410);
  await sockets.last.drop();
  await clock.advance(30000);
  await sockets.last.open();
  assert.deepEqual(sockets.last.frame('CONNECT').resume, { conn_id: 'c1', key: 'new' });
});

test('what the server said before it closed is still heard', async t => {
  const { conn, sockets, asked } = inBrowser(t);
  await sockets.last.connected();
  await sockets.last.say('COOKIE', { path: 'cookie/k1' });
  await sockets.last.say('CLOSE', { code: 4502, reason: 'revoked' });
  await sockets.last.drop(1006);
  assert.equal(conn.state, 'connected');
  await asked[0].answer(204);
  assert.equal(conn.state, 'closed');
});
