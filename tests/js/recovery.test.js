'use strict';
const assert = require('node:assert/strict');
const test = require('node:test');
const { scripted, settled } = require('./support.js');

const missedFrames = (...offsets) =>
  offsets.map(offset => ({ channel_name: 'lobby', payload: offset, offset, user: 'bob', datetime: 'd' }));

/** A page subscribed to the lobby up to an offset, cut off, and connected again. */
async function returned(offset = 3, args = {}, connectedArgs = {}) {
  const all = scripted();
  const { conn, clock, sockets } = all;
  await sockets.last.connected(connectedArgs);
  await sockets.last.subscribed('lobby', { offset, ...args });
  const subscription = conn.subscriptions.get('lobby');
  const heard = [];
  subscription.onPublish = frame => heard.push(frame.payload);
  await sockets.last.drop();
  await clock.advance(1000);
  await sockets.last.connected(connectedArgs);
  return { ...all, subscription, heard, server: sockets.last };
}

test('D3 a return names the position and gets what was missed, once and in order', async () => {
  const { server, heard, subscription, log, conn } = await returned(3);
  const told = [];
  subscription.onRecovered = info => told.push(info);
  conn.onRecovered = (channelName, same, info) => told.push([channelName, same === subscription, info]);
  assert.deepEqual(server.frame('SUBSCRIBE').since, { epoch: 'e1', offset: 3 });
  await server.subscribed('lobby', { offset: 6, recovered: true, missed: missedFrames(4, 5, 6) });
  await server.ack('SUBSCRIBE');
  await server.publish('lobby', 7);
  assert.deepEqual(heard, [4, 5, 6, 7]);
  const info = { recovered: true, missed: 3 };
  assert.deepEqual(told, [info, ['lobby', true, info]]);
  assert.equal(log.of('recovered').length, 1);
});

test('D3 what could not be recovered is told, and the new position counts', async () => {
  const { server, heard, log, subscription } = await returned(300);
  await server.subscribed('lobby', { offset: 2, epoch: 'e2', recovered: false, history: [], state: { fresh: 1 } });
  await server.ack('SUBSCRIBE');
  assert.deepEqual(log.of('recovered'), [['lobby', subscription, { recovered: false, missed: 0 }]]);
  await server.publish('lobby', 3);
  assert.deepEqual(heard, [3]);
  assert.deepEqual([subscription.epoch, subscription.offset], ['e2', 3]);
});

test('after a reconnect the same object has the present history, presence and state', async () => {
  const { server, subscription, conn, log } = await returned(3, {
    history_size: 5,
    presence: ['ann', 'bob'],
    state: { a: 1 },
  });
  const subscribed = [];
  conn.onSubscribed = name => subscribed.push(name);
  const history = [['PUBLISH', { payload: 4, offset: 4 }]];
  await server.subscribed('lobby', {
    offset: 4,
    recovered: true,
    missed: missedFrames(4),
    history,
    history_size: 9,
    presence: ['ann', 'eve'],
    state: { b: 2 },
  });
  assert.equal(conn.subscriptions.get('lobby'), subscription);
  assert.deepEqual(subscription.history, [['PUBLISH', { payload: 4, offset: 4 }]]);
  assert.deepEqual(
    [subscription.historySize, subscription.presence, subscription.state],
    [9, ['ann', 'eve'], { b: 2 }]
  );
  assert.deepEqual([subscribed, log.of('recovered').length], [[], 1]);
});

test('D1 a publication that comes twice is heard once', async () => {
  const { server, heard } = await returned(3);
  await server.subscribed('lobby', { offset: 5, recovered: true, missed: missedFrames(2, 3, 4, 5) });
  for (const offset of [4, 5, 6, 6]) await server.publish('lobby', offset);
  assert.deepEqual(heard, [4, 5, 6]);
});

test('publications without a number are always heard', async () => {
  const { server, heard } = await returned(3);
  await server.publish('lobby', undefined, 'for you alone');
  await server.subscribed('lobby', { offset: 3, recovered: true, missed: [] });
  await server.publish('lobby', undefined, 'and again');
  assert.deepEqual(heard, ['for you alone', 'and again']);
});

test('D3 what the server sends by itself at login neither moves the position nor makes a hole', async () => {
  const { server, heard, log } = await returned(3);
  await server.subscribed('lobby', { offset: 5 });
  await server.publish('lobby', 6);
  assert.deepEqual([heard, log.of('recovered')], [[], []]);
  await server.subscribed('lobby', { offset: 6, recovered: true, missed: missedFrames(4, 5, 6) });
  await server.publish('lobby', 7);
  assert.deepEqual(heard, [4, 5, 6, 7]);
});

test('what the server held back and then sends with the channel is heard', async () => {
  const { server, heard, log } = await returned(3);
  await server.subscribed('lobby', { offset: 4, recovered: true, missed: missedFrames(4) });
  await server.subscribed('lobby', { offset: 6, recovered: true, missed: missedFrames(4, 5, 6) });
  await server.publish('lobby', 7);
  assert.deepEqual(heard, [4, 5, 6, 7]);
  await server.subscribed('lobby', { offset: 9, recovered: false });
  assert.deepEqual(
    log.of('recovered').map(([, , info]) => info.recovered),
    [true, true, false]
  );
});

test('a cut during the recovery asks again for the same', async () => {
  const { server, heard, clock, sockets } = await returned(3);
  await server.subscribed('lobby', { offset: 5 });
  await server.publish('lobby', 6);
  await server.drop();
  await clock.advance(2000);
  await sockets.last.connected();
  assert.deepEqual(sockets.last.frame('SUBSCRIBE').since, { epoch: 'e1', offset: 3 });
  assert.deepEqual(heard, []);
});

test('a server that has no positions is subscribed to again and the hole is told', async () => {
  const { server, log, heard } = await returned(undefined, { epoch: undefined }, { features: undefined });
  assert.equal('since' in server.frame('SUBSCRIBE'), false);
  await server.subscribed('lobby', { offset: undefined, epoch: undefined });
  await server.publish('lobby', undefined, 'on');
  assert.deepEqual(log.of('recovered')[0][2], { recovered: false, missed: 0 });
  assert.deepEqual(heard, ['on']);
});

test('an answer that says nothing of recovery is a hole, not silence for ever', async () => {
  const { server, log, heard } = await returned(3);
  await server.ack('SUBSCRIBE');
  await server.publish('lobby', 9);
  assert.deepEqual(log.of('recovered')[0][2], { recovered: false, missed: 0 });
  assert.deepEqual(heard, [9]);
});

test('a resubscription that the application cannot answer now is tried again', async () => {
  const { server, clock, heard, conn } = await returned(3);
  await server.say('ERROR', { id: server.frame('SUBSCRIBE').id, msg: 'failure', code: 'app_unavailable' });
  await clock.advance(2000);
  assert.deepEqual(server.frame('SUBSCRIBE').since, { epoch: 'e1', offset: 3 });
  assert.equal(server.sent.filter(([, name]) => name === 'SUBSCRIBE').length, 2);
  await server.subscribed('lobby', { offset: 4, recovered: true, missed: missedFrames(4) });
  assert.deepEqual([heard, conn.subscriptions.size], [[4], 1]);
});

test('F17 an appointment given for a resubscription is kept', async () => {
  const { server, clock } = await returned(3);
  const code = 'app_unavailable';
  await server.say('ERROR', { id: server.frame('SUBSCRIBE').id, msg: 'failure', code, retry_ms: 9000 });
  await clock.advance(8999);
  assert.equal(server.sent.filter(([, name]) => name === 'SUBSCRIBE').length, 1);
  await clock.advance(1);
  assert.equal(server.sent.filter(([, name]) => name === 'SUBSCRIBE').length, 2);
});

test('A8 a resubscription that the application denies ends the subscription and is told', async () => {
  const { server, conn, subscription } = await returned(3);
  const ended = [];
  conn.onUnsubscribed = (which, args) => ended.push([which, args.error.code]);
  await server.say('ERROR', { id: server.frame('SUBSCRIBE').id, msg: 'Unauthorized', code: 'denied' });
  assert.deepEqual(ended, [[subscription, 'denied']]);
  assert.deepEqual([subscription.canceled, conn.subscriptions.size], [true, 0]);
});

test('a subscription canceled while away is not taken up again', async () => {
  const { conn, clock, sockets } = scripted();
  await sockets.last.connected();
  await sockets.last.subscribed('lobby');
  const subscription = conn.subscriptions.get('lobby');
  await sockets.last.drop();
  const canceled = subscription.cancel();
  await clock.advance(1000);
  await sockets.last.connected();
  assert.deepEqual(sockets.last.names(), ['CONNECT', 'UNSUBSCRIBE']);
  await sockets.last.ack('UNSUBSCRIBE');
  await canceled;
  assert.equal(conn.subscriptions.size, 0);
});

test('a channel joined by the application alone is recovered like any other', async () => {
  const { server } = await returned(8);
  assert.equal(server.frame('SUBSCRIBE').channel_name, 'lobby');
});

/** A server with one channel, behind a cable that is cut at random. Deterministic: seeded. */
test('D3 with the cable cut 500 times every publication is heard once, in order, or its loss is told', async () => {
  let seed = 42;
  const random = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
  const { conn, clock, sockets } = scripted();
  const channel = { epoch: 'e1', offset: 0, kept: [] };
  const heard = [];
  const holes = [];
  conn.on('recovered', (name, subscription, { recovered }) => {
    if (!recovered) holes.push(subscription.offset);
  });
  conn.onSubscribed = (name, subscription) => (subscription.onPublish = frame => heard.push(frame.offset));
  conn.subscribe('lobby');

  function publish() {
    channel.offset += 1;
    channel.kept.push(...missedFrames(channel.offset));
    channel.kept = channel.kept.slice(-9);
    return `[1, "PUBLISH", ${JSON.stringify(missedFrames(channel.offset)[0])}]\r\n`;
  }

  function answer({ since }) {
    const own = {
      channel_name: 'lobby',
      user: 'ann',
      history: [],
      state: {},
      presence: [],
      ...channel,
      kept: undefined,
    };
    if (since) {
      const first = channel.kept.length ? channel.kept[0].offset : channel.offset + 1;
      own.recovered = since.offset >= first - 1;
      if (own.recovered) own.missed = channel.kept.filter(({ offset }) => offset > since.offset);
    }
    return `[1, "SUBSCRIBE", ${JSON.stringify(own)}]\r\n`;
  }

  for (let cut = 0; cut < 500; cut++) {
    const server = sockets.last;
    await server.connected();
    let stream = random() < 0.5 ? answer({}) + publish() : '';
    stream += answer(server.frame('SUBSCRIBE')) + publish() + publish() + publish();
    const end = random() < 0.3 ? stream.length : Math.floor(random() * stream.length);
    for (let at = 0; at < end;) {
      const size = Math.min(end - at, 1 + Math.floor(random() * 200));
      await server.raw(stream.slice(at, at + size));
      at += size;
    }
    await server.drop();
    for (let away = Math.floor(random() * 8); away > 0; away--) publish();
    if (random() < 0.02) Object.assign(channel, { epoch: `e${cut}`, offset: 0, kept: [] });
    await clock.advance(clock.next);
  }
  await settled();
  assert.ok(heard.length > 1000 && holes.length > 3, `${heard.length} heard, ${holes.length} holes`);
  let gaps = 0;
  for (let at = 1; at < heard.length; at++) if (heard[at] !== heard[at - 1] + 1) gaps += 1;
  assert.ok(gaps <= holes.length, `${gaps} gaps, ${holes.length} told`);
  assert.ok(gaps > 0);
});
