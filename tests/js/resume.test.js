'use strict';
// A client that was cut off takes its place again: one frame there, and what was missed back.
const assert = require('node:assert/strict');
const test = require('node:test');
const { scripted } = require('./support.js');

const missed = { channel_name: 'lobby', payload: 4, offset: 4, user: 'bob', datetime: 'd' };

/** A page in two channels, cut off and waiting for CONNECTED again. */
async function cut() {
  const all = scripted({}, 'me');
  const { conn, clock, sockets } = all;
  await sockets.last.connected({ resume: 'k1' });
  await sockets.last.subscribed('lobby', { offset: 3 });
  await sockets.last.subscribed('news', { offset: 8 });
  const heard = [];
  conn.subscriptions.get('lobby').onPublish = frame => heard.push(frame.payload);
  await sockets.last.drop();
  await clock.advance(1000);
  await sockets.last.open();
  return { ...all, heard, server: sockets.last };
}

const welcome = (server, args) =>
  server.say('CONNECTED', {
    name: 'ann',
    conn_id: 'c1',
    version: '1',
    features: ['ack', 'recover', 'ping', 'close', 'resume'],
    ping_interval: 25,
    resume: 'k2',
    ...args,
  });

test('the first CONNECT has no ticket, a later one has it and the positions', async () => {
  const { sockets, server } = await cut();
  assert.equal('resume' in sockets.all[0].frame('CONNECT'), false);
  assert.deepEqual(server.frame('CONNECT').resume, { conn_id: 'c1', key: 'k1' });
  assert.deepEqual(server.frame('CONNECT').since, {
    lobby: { epoch: 'e1', offset: 3 },
    news: { epoch: 'e1', offset: 8 },
  });
});

test('where the place was kept nothing is subscribed again, and what was missed comes', async () => {
  const { server, log, heard, conn } = await cut();
  await welcome(server, { resumed: true, channels: ['lobby', 'news'] });
  assert.deepEqual(server.names(), ['CONNECT']);
  await server.subscribed('lobby', { offset: 4, recovered: true, missed: [missed] });
  await server.subscribed('news', { offset: 8, recovered: true, missed: [] });
  await server.publish('lobby', 5);
  assert.deepEqual(heard, [4, 5]);
  assert.deepEqual(
    log.of('recovered').map(([name, , info]) => [name, info]),
    [
      ['lobby', { recovered: true, missed: 1 }],
      ['news', { recovered: true, missed: 0 }],
    ]
  );
  assert.equal(log.of('reconnected').length, 1);
  assert.equal(conn.state, 'connected');
});

test('a channel that is not among those kept is asked for again', async () => {
  const { server } = await cut();
  await welcome(server, { resumed: true, channels: ['news'] });
  assert.deepEqual(server.names(), ['CONNECT', 'SUBSCRIBE']);
  assert.equal(server.frame('SUBSCRIBE').channel_name, 'lobby');
});

test('where the place was not kept every channel is asked for again', async () => {
  const { server } = await cut();
  await welcome(server, {});
  assert.deepEqual(server.names(), ['CONNECT', 'SUBSCRIBE', 'SUBSCRIBE']);
  assert.deepEqual(server.frame('SUBSCRIBE').since, { epoch: 'e1', offset: 8 });
});

test('the ticket is the one of the last CONNECTED', async () => {
  const { server, sockets, clock } = await cut();
  await welcome(server, { resumed: true, channels: ['lobby', 'news'] });
  await server.drop();
  await clock.advance(2000);
  await sockets.last.open();
  assert.deepEqual(sockets.last.frame('CONNECT').resume, { conn_id: 'c1', key: 'k2' });
});

test('after reconnect() the application is asked who this is now', async () => {
  const { server, conn, sockets } = await cut();
  await welcome(server, { resumed: true, channels: ['lobby', 'news'] });
  conn.reconnect();
  await sockets.last.open();
  assert.equal('resume' in sockets.last.frame('CONNECT'), false);
  assert.equal('since' in sockets.last.frame('CONNECT'), false);
});

test('a server that knows nothing of it is asked as before', async () => {
  const { conn, clock, sockets } = scripted();
  await sockets.last.connected({ features: ['ack', 'recover'] });
  await sockets.last.subscribed('lobby', { offset: 3 });
  await sockets.last.drop();
  await clock.advance(1000);
  await sockets.last.connected({ features: ['ack', 'recover'] });
  assert.equal('resume' in sockets.last.frame('CONNECT'), false);
  assert.equal(sockets.last.frame('SUBSCRIBE').since.offset, 3);
  assert.equal(conn.connected, true);
});
