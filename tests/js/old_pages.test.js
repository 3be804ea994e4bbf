'use strict';
const assert = require('node:assert/strict');
const test = require('node:test');
const { hookbox, scripted, settled, socketClass, ManualClock } = require('./support.js');

test('the original CONNECT arguments are sent as the original client sent them', async () => {
  for (const [payload, cookies, expected] of [
    [undefined, undefined, { cookie_string: '' }],
    [null, undefined, { cookie_string: '', payload: 'null' }],
    [{ u: 1 }, 'x=y', { cookie_string: 'x=y', payload: '{"u":1}' }],
  ]) {
    const { sockets } = scripted({}, payload, cookies);
    await sockets.last.open();
    const [id, name, { features, since, ...args }] = sockets.last.sent[0];
    assert.deepEqual([id, name, args], [1, 'CONNECT', expected]);
    assert.deepEqual(features, ['ack', 'recover', 'ping', 'close', 'resume']);
    assert.deepEqual(since, {});
  }
});

test('every form of URL leads where it always led', () => {
  const clock = new ManualClock();
  for (const [given, expected] of [
    ['http://h:8001', 'ws://h:8001/ws'],
    ['http://h:8001/', 'ws://h:8001/ws'],
    ['http://h/some/prefix', 'ws://h/some/prefix/ws'],
    ['https://h/', 'wss://h/ws'],
    ['HTTP://h', 'ws://h/ws'],
    ['http://h:8001/csp', 'ws://h:8001/csp/ws'],
    ['ws://h/a', 'ws://h/a/ws'],
    ['http://h/?x=1', 'ws://h/ws?x=1'],
    ['http://h/#top', 'ws://h/ws'],
  ]) {
    const sockets = socketClass();
    hookbox.connect(given, undefined, undefined, { ...clock.options(), WebSocket: sockets });
    assert.equal(sockets.last.url, expected, given);
  }
});

test('a URL without host is taken from the page', () => {
  const clock = new ManualClock();
  globalThis.location = { href: 'https://page.test/chat/room.html' };
  try {
    for (const [given, expected] of [
      ['/', 'wss://page.test/ws'],
      ['', 'wss://page.test/ws'],
      ['/prefix', 'wss://page.test/prefix/ws'],
      ['//h/prefix', 'wss://h/prefix/ws'],
    ]) {
      const sockets = socketClass();
      hookbox.connect(given, undefined, undefined, { ...clock.options(), WebSocket: sockets });
      assert.equal(sockets.last.url, expected, given);
    }
  } finally {
    delete globalThis.location;
  }
});

test('calls made before the connection is there go out when it is, subscriptions first', async () => {
  const { conn, sockets } = scripted();
  conn.publish('news', 'early');
  conn.message('al', [1]);
  conn.subscribe('news');
  const opened = [];
  conn.onOpen = args => opened.push(args.name);
  await sockets.last.connected();
  assert.deepEqual(sockets.last.names(), ['CONNECT', 'SUBSCRIBE', 'PUBLISH', 'MESSAGE']);
  assert.deepEqual(opened, ['ann']);
  assert.equal(conn.username, 'ann');
  assert.equal(conn.connected, true);
});

test('a page with callbacks only sees what it always saw', async () => {
  const { conn, sockets } = scripted();
  const seen = [];
  conn.onSubscribed = (channelName, subscription, args) => {
    seen.push(['subscribed', channelName, subscription.channelName, args.initial_data]);
    subscription.onPublish = frame => seen.push(['publish', frame.user, frame.payload]);
    subscription.onSubscribe = frame => seen.push(['join', frame.user, subscription.presence.slice()]);
    subscription.onUnsubscribe = frame => seen.push(['leave', frame.user, subscription.presence.slice()]);
    subscription.onState = frame => seen.push(['state', frame.deletes, { ...subscription.state }]);
  };
  conn.onUnsubscribed = (subscription, args) => seen.push(['unsubscribed', subscription.channelName, args.user]);
  conn.onMessaged = args => seen.push(['messaged', args.sender, args.payload]);
  conn.onError = error => seen.push(['error', error.msg]);
  const server = sockets.last;
  conn.subscribe('lobby');
  await server.connected();
  await server.subscribed('lobby', {
    history: [['PUBLISH', { payload: 0, user: 'bob', datetime: 'd' }]],
    history_size: 2,
    state: { a: 1, '': 2, b: 3 },
    presence: ['ann'],
    initial_data: 'hello',
  });
  const subscription = conn.subscriptions.get('lobby');
  assert.deepEqual([subscription.historySize, subscription.history.length], [2, 1]);
  await server.say('SUBSCRIBE', { channel_name: 'lobby', user: 'bob', datetime: 'd' });
  await server.publish('lobby', 1, 'hi');
  await server.say('STATE_UPDATE', { channel_name: 'lobby', updates: { c: 4 }, deletes: ['', 'a'] });
  await server.say('UNSUBSCRIBE', { channel_name: 'lobby', user: 'bob', datetime: 'd' });
  await server.say('MESSAGE', { sender: 'bob', recipient: 'ann', payload: { x: 1 }, datetime: 'd' });
  await server.say('ERROR', { id: null, msg: 'Invalid json', code: 'bad_json' });
  await server.say('UNSUBSCRIBE', { channel_name: 'lobby', user: 'ann', datetime: 'd' });
  assert.deepEqual(seen, [
    ['subscribed', 'lobby', 'lobby', 'hello'],
    ['join', 'bob', ['ann', 'bob']],
    ['publish', 'bob', 'hi'],
    ['state', ['', 'a'], { b: 3, c: 4 }],
    ['leave', 'bob', ['ann']],
    ['messaged', 'bob', { x: 1 }],
    ['error', 'Invalid json'],
    ['leave', 'ann', []],
    ['unsubscribed', 'lobby', 'ann'],
  ]);
  assert.deepEqual(subscription.history, [
    ['UNSUBSCRIBE', { user: 'bob', datetime: 'd' }],
    ['UNSUBSCRIBE', { user: 'ann', datetime: 'd' }],
  ]);
  assert.equal(subscription.canceled, true);
});

test('the old manual’s example works as printed', async () => {
  const { conn, sockets } = scripted();
  const names = [];
  conn.onSubscribe = channelName => names.push(channelName);
  const subscription = conn.subscribe('foo.bar.baz');
  await sockets.last.connected();
  await sockets.last.subscribed('foo.bar.baz');
  await sockets.last.ack('SUBSCRIBE');
  subscription.cancel();
  await settled();
  assert.deepEqual(names, ['foo.bar.baz']);
  assert.equal(sockets.last.frame('UNSUBSCRIBE').channel_name, 'foo.bar.baz');
});

test('a channel the user is in already arrives without being asked for', async () => {
  const { conn, sockets } = scripted();
  const names = [];
  conn.onSubscribed = channelName => names.push(channelName);
  await sockets.last.connected();
  await sockets.last.subscribed('from the other tab');
  assert.deepEqual(names, ['from the other tab']);
});

test('somebody else leaving does not cancel our subscription', async () => {
  const { conn, sockets } = scripted();
  await sockets.last.connected();
  await sockets.last.subscribed('lobby', { presence: ['ann', 'bob'] });
  const subscription = conn.subscriptions.get('lobby');
  await sockets.last.say('UNSUBSCRIBE', { channel_name: 'lobby', user: 'bob', datetime: 'd' });
  assert.equal(subscription.canceled, false);
  subscription.cancel();
  assert.equal(sockets.last.frame('UNSUBSCRIBE').channel_name, 'lobby');
});

test('frames of unknown names and unknown channels are ignored', async () => {
  const { conn, sockets } = scripted();
  await sockets.last.connected();
  await sockets.last.say('CHANNEL_INIT', { channel_name: 'x' });
  await sockets.last.publish('x', 1);
  await sockets.last.say('UNSUBSCRIBE', { channel_name: 'x', user: 'ann' });
  await sockets.last.say('STATE_UPDATE', { channel_name: 'x', updates: {}, deletes: [] });
  assert.equal(conn.state, 'connected');
});

test('cookies of the application reach the page', async () => {
  globalThis.document = { cookie: 'sid=1', baseURI: 'http://page.test/', addEventListener() {} };
  try {
    const { sockets } = scripted();
    await sockets.last.open();
    assert.equal(sockets.last.frame('CONNECT').cookie_string, 'sid=1');
    await sockets.last.say('SET_COOKIE', { cookie: 'sid=2; Path=/' });
    assert.equal(document.cookie, 'sid=2; Path=/');
  } finally {
    delete globalThis.document;
  }
});

test('disconnect ends the connection and calls onClose, not from within the call', async () => {
  const { conn, sockets, clock } = scripted();
  await sockets.last.connected();
  let closed = 0;
  conn.onClose = () => closed++;
  conn.disconnect();
  assert.equal(closed, 0);
  await settled();
  assert.equal(closed, 1);
  assert.equal(sockets.last.closedWith, 1000);
  conn.disconnect();
  await clock.advance(120000);
  assert.deepEqual([closed, sockets.all.length, clock.timers.length], [1, 1, 0]);
});

test('with reconnect off a lost connection is final, as it was', async () => {
  for (const [code, expected] of [
    [1006, [['connectionLost', 'ConnectionTimeout']]],
    [1012, [['close', { code: 1012, reason: 'bye', clean: true }]]],
  ]) {
    const { conn, sockets, log, clock } = scripted({ reconnect: false });
    await sockets.last.connected();
    await sockets.last.drop(code, code === 1006 ? '' : 'bye');
    await clock.advance(120000);
    assert.deepEqual(
      log.filter(([event]) => /close|Lost/.test(event)),
      expected
    );
    assert.deepEqual([conn.state, sockets.all.length], ['closed', 1]);
  }
});

test('a callback that throws stops neither the client nor the other listeners', async () => {
  const { conn, sockets } = scripted();
  const heard = [];
  conn.onMessaged = () => {
    throw new Error('the page’s own');
  };
  conn.on('messaged', args => heard.push(args.payload));
  await sockets.last.connected();
  const later = []; // what is thrown there ends up in window.onerror; here it would end the test
  const realSetTimeout = globalThis.setTimeout;
  globalThis.setTimeout = callback => later.push(callback);
  try {
    await sockets.last.say('MESSAGE', { sender: 'bob', recipient: 'ann', payload: 1, datetime: 'd' });
  } finally {
    globalThis.setTimeout = realSetTimeout;
  }
  assert.throws(later[0], /the page’s own/);
  assert.deepEqual([heard, conn.state], [[1], 'connected']);
});

test('off takes back one listener, or all of an event', async () => {
  const { conn, sockets } = scripted();
  const heard = [];
  const first = () => heard.push('first');
  const second = () => heard.push('second');
  assert.equal(conn.on('messaged', first).on('messaged', second), conn);
  await sockets.last.connected();
  const message = () => sockets.last.say('MESSAGE', { sender: 'b', recipient: 'a', payload: 1, datetime: 'd' });
  conn.off('messaged', first);
  await message();
  conn.off('messaged');
  await message();
  assert.deepEqual(heard, ['second']);
});
