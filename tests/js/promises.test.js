'use strict';
const assert = require('node:assert/strict');
const test = require('node:test');
const { line, scripted, settled } = require('./support.js');

/** Whether a promise is settled by now, and how. */
const outcome = promise =>
  Promise.race([
    promise.then(
      value => ['kept', value],
      error => ['broken', error]
    ),
    settled().then(() => ['open']),
  ]);

async function connected(options) {
  const all = scripted(options);
  await all.sockets.last.connected();
  return { ...all, server: all.sockets.last };
}

test('subscribe gives the subscription as soon as it exists, before the ACK', async () => {
  const { conn, server } = await connected();
  const promise = conn.subscribe('lobby');
  assert.deepEqual(await outcome(promise), ['open']);
  await server.subscribed('lobby');
  assert.deepEqual(await outcome(promise), ['kept', conn.subscriptions.get('lobby')]);
});

test('subscribing to what one has gives the same subscription', async () => {
  const { conn, server } = await connected();
  await server.subscribed('lobby');
  const promise = conn.subscribe('lobby');
  await server.ack('SUBSCRIBE');
  assert.equal(await promise, conn.subscriptions.get('lobby'));
});

test('nothing is missed between a subscription and the handler that an await puts on it', async () => {
  const { conn, server } = await connected();
  const heard = [];
  const wrapped = async () => conn.subscribe('lobby');
  const page = (async () => {
    const subscription = await wrapped();
    subscription.onPublish = frame => heard.push(frame.payload);
  })();
  const own = { channel_name: 'lobby', user: 'ann', history: [], state: {}, presence: [], offset: 0, epoch: 'e' };
  await server.raw(
    line(2, 'SUBSCRIBE', own) +
      line(3, 'PUBLISH', { channel_name: 'lobby', payload: 'one', offset: 1 }) +
      line(4, 'PUBLISH', { channel_name: 'lobby', payload: 'two', offset: 2 }) +
      line(5, 'ACK', { id: 2 })
  );
  await page;
  await settled();
  assert.deepEqual(heard, ['one', 'two']);
});

test('publish gives offset and epoch; message and cancel are kept by their ACK', async () => {
  const { conn, server } = await connected();
  await server.subscribed('lobby');
  const subscription = conn.subscriptions.get('lobby');
  const published = subscription.publish({ a: 1 });
  assert.equal(server.frame('PUBLISH').payload, '{"a":1}');
  await server.ack('PUBLISH', { offset: 7, epoch: 'e1' });
  const { offset, epoch } = await published;
  assert.deepEqual([offset, epoch], [7, 'e1']);
  const messaged = conn.message('bob', 1);
  await server.ack('MESSAGE');
  await messaged;
  const canceled = subscription.cancel();
  await server.say('UNSUBSCRIBE', { channel_name: 'lobby', user: 'ann', datetime: 'd' });
  await canceled;
  await subscription.cancel();
  assert.equal(server.sent.filter(([, name]) => name === 'UNSUBSCRIBE').length, 1);
});

test('a refusal rejects with the server’s text and word, and is told to onError', async () => {
  const { conn, server, log } = await connected();
  for (const [call, name] of [
    [() => conn.subscribe('secret'), 'SUBSCRIBE'],
    [() => conn.publish('secret', 1), 'PUBLISH'],
    [() => conn.message('nobody', 1), 'MESSAGE'],
  ]) {
    const promise = call();
    await server.say('ERROR', { id: server.frame(name).id, msg: 'Unauthorized', code: 'denied' });
    const [how, error] = await outcome(promise);
    assert.equal(how, 'broken');
    assert.ok(error instanceof Error);
    assert.deepEqual([error.message, error.msg, error.code], ['Unauthorized', 'Unauthorized', 'denied']);
    assert.equal(log.of('error').pop()[0], error);
  }
});

test('a denied cancel leaves the subscription as it is', async () => {
  const { conn, server } = await connected();
  await server.subscribed('lobby');
  const subscription = conn.subscriptions.get('lobby');
  const promise = subscription.cancel();
  await server.say('ERROR', { id: server.frame('UNSUBSCRIBE').id, msg: 'Stay', code: 'denied' });
  assert.equal((await outcome(promise))[0], 'broken');
  assert.deepEqual([subscription.canceled, conn.subscriptions.size], [false, 1]);
});

test('a cancel of what the server does not know ends the subscription here', async () => {
  const { conn, server } = await connected();
  const ended = [];
  conn.onUnsubscribed = subscription => ended.push(subscription.channelName);
  await server.subscribed('lobby');
  const promise = conn.subscriptions.get('lobby').cancel();
  await server.ack('UNSUBSCRIBE');
  await promise;
  assert.deepEqual([ended, conn.subscriptions.size], [['lobby'], 0]);
});

test('a rejection that nobody waits for is not reported as unhandled', async () => {
  const unhandled = [];
  const listener = error => unhandled.push(error);
  process.on('unhandledRejection', listener);
  try {
    const { conn, server } = await connected();
    conn.subscribe('secret');
    conn.publish('secret', 1);
    conn.publish('secret', 2);
    await server.say('ERROR', { id: server.frame('SUBSCRIBE').id, msg: 'no', code: 'denied' });
    await server.say('ERROR', { id: server.frame('PUBLISH').id, msg: 'no', code: 'denied' });
    await server.drop();
    conn.disconnect();
    await settled();
    await settled();
    assert.deepEqual(unhandled, []);
  } finally {
    process.off('unhandledRejection', listener);
  }
});

test('a publish whose answer was cut off is rejected as unacknowledged and never sent again', async () => {
  const { conn, sockets, clock, server, log } = await connected();
  const promise = conn.publish('lobby', 'once');
  await server.drop();
  const [how, error] = await outcome(promise);
  assert.deepEqual([how, error.code], ['broken', 'unacknowledged']);
  assert.equal(log.of('error').pop()[0], error);
  await clock.advance(1000);
  await sockets.last.connected();
  assert.deepEqual(sockets.last.names(), ['CONNECT']);
});

test('what a server that says goodbye had not looked at is sent to the next one, in order, and the rest is not', async () => {
  const { conn, sockets, clock, server, log } = await connected();
  const looked = conn.publish('lobby', 1);
  const second = conn.publish('lobby', 2);
  const third = conn.message('bob', 3);
  const later = conn.publish('lobby', 4);
  const handled = server.frame('PUBLISH').id - 3; // that of `looked`, which `later` is the third frame after
  await server.say('CLOSE', { code: 1012, reason: 'server restarts', retry_ms: 10, handled });
  assert.equal((await outcome(looked))[1].code, 'unacknowledged');
  assert.equal(log.of('error').length, 1);
  const away = conn.publish('lobby', 5);
  await clock.advance(1000);
  await sockets.last.connected();
  assert.deepEqual(sockets.last.names(), ['CONNECT', 'PUBLISH', 'MESSAGE', 'PUBLISH', 'PUBLISH']);
  for (let id = 2; id < 6; id++) await sockets.last.say('ACK', { id });
  await Promise.all([second, third, later, away]);
});

test('what the next server never lets us send again is rejected as not sent', async () => {
  const { conn, sockets, clock, server } = await connected();
  const promise = conn.publish('lobby', 1);
  await server.say('CLOSE', { code: 1012, reason: 'server restarts', retry_ms: 10, handled: 1 });
  await sockets.last.drop();
  await clock.advance(31000);
  assert.equal((await outcome(promise))[1].code, 'not_sent');
});

test('a publish made while away is sent once there is a connection', async () => {
  const { conn, sockets, clock, server } = await connected();
  await server.drop();
  const promise = conn.publish('lobby', 'later');
  await clock.advance(1000);
  await sockets.last.connected();
  assert.equal(sockets.last.frame('PUBLISH').payload, '"later"');
  await sockets.last.ack('PUBLISH', { offset: 1, epoch: 'e' });
  assert.equal((await promise).offset, 1);
  await clock.advance(60000);
});

test('a publish that waits too long for a connection is rejected as not sent', async () => {
  const { conn, sockets, clock, server } = await connected();
  await server.drop();
  const promise = conn.publish('lobby', 'stale');
  await clock.advance(29999);
  assert.deepEqual(await outcome(promise), ['open']);
  await clock.advance(1);
  assert.equal((await outcome(promise))[1].code, 'not_sent');
  await sockets.last.connected();
  assert.deepEqual(sockets.last.names(), ['CONNECT']);
});

test('only so many publishes wait for a connection', async () => {
  const { conn, server } = await connected({ queueSize: 2 });
  await server.drop();
  const promises = [1, 2, 3].map(payload => conn.publish('lobby', payload));
  assert.deepEqual((await outcome(promises[1]))[0], 'open');
  assert.equal((await outcome(promises[2]))[1].code, 'not_sent');
});

test('a subscription asked for while away, or cut off, is asked for again', async () => {
  const { conn, sockets, clock, server } = await connected();
  const cutOff = conn.subscribe('one');
  await server.drop();
  const away = conn.subscribe('two');
  await clock.advance(1000);
  await sockets.last.connected();
  const asked = sockets.last.sent.filter(([, name]) => name === 'SUBSCRIBE').map(([, , args]) => args.channel_name);
  assert.deepEqual(asked, ['one', 'two']);
  await sockets.last.subscribed('one');
  await sockets.last.subscribed('two');
  assert.deepEqual([(await cutOff).channelName, (await away).channelName], ['one', 'two']);
});

test('after the end everything is rejected as not sent, quietly', async () => {
  const { conn, sockets, log } = scripted();
  const before = conn.subscribe('lobby');
  const published = conn.publish('lobby', 1);
  conn.disconnect();
  for (const promise of [before, published, conn.subscribe('lobby'), conn.publish('lobby', 1)]) {
    assert.equal((await outcome(promise))[1].code, 'not_sent');
  }
  assert.deepEqual([log.of('error'), sockets.all.length], [[], 1]);
});

test('a server without acknowledgements keeps promises as soon as things are sent', async () => {
  const { conn, sockets } = scripted();
  await sockets.last.connected({ features: undefined, ping_interval: undefined });
  await conn.publish('lobby', 1);
  await conn.message('bob', 1);
  const promise = conn.subscribe('lobby');
  await sockets.last.subscribed('lobby', { offset: undefined, epoch: undefined });
  assert.equal((await promise).channelName, 'lobby');
});
