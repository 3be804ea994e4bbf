'use strict';
// What is checked in besides the source is made from it by hookbox/js/build.sh, and is not stale.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const vm = require('node:vm');
const zlib = require('node:zlib');
const { BUILD, ManualClock, settled, socketClass } = require('./support.js');

const JS = path.join(__dirname, '../../hookbox/js');
const read = name => fs.readFileSync(path.join(JS, name), 'utf8');

test('the minified client is made from this source and has at most 6 kB gzipped', () => {
  const sum = createHash('sha256').update(read('hookbox.js')).digest('hex').slice(0, 16);
  assert.ok(read('hookbox.min.js').includes(`Made from hookbox.js ${sum}`), 'run hookbox/js/build.sh');
  assert.ok(zlib.gzipSync(read('hookbox.min.js'), { level: 9 }).length <= 6000);
});

test('the module is this source with exports', () => {
  const source = read('hookbox.js').replace(/^if \(typeof module.*\n/m, '');
  assert.equal(read('hookbox.mjs'), `${source}export const connect = hookbox.connect;\nexport default hookbox;\n`);
});

test('the client never evaluates text as a program', () => {
  assert.doesNotMatch(read('hookbox.min.js'), /\beval\b|\bFunction\(|setTimeout\(["'`]/);
});

test('a classic script makes one global, hookbox, in a page and in a worker', () => {
  for (const build of ['hookbox.js', 'hookbox.min.js']) {
    const world = vm.createContext({ self: {}, URL });
    const before = Object.getOwnPropertyNames(world);
    vm.runInContext(read(build), world);
    const made = Object.getOwnPropertyNames(world).filter(name => !before.includes(name));
    assert.deepEqual(made, ['hookbox']);
    assert.equal(typeof world.hookbox.connect, 'function');
  }
});

test('the module works where it is imported', async () => {
  const { connect, default: hookbox } = await import(path.join(JS, 'hookbox.mjs'));
  assert.equal(connect, hookbox.connect);
  const sockets = socketClass();
  const conn = connect('http://h', undefined, undefined, { ...new ManualClock().options(), WebSocket: sockets });
  await sockets.last.connected();
  assert.equal(conn.state, 'connected');
  conn.disconnect();
  await settled();
});

test('the minified client passes all of these tests', { skip: BUILD !== 'hookbox.js' }, () => {
  const files = fs.readdirSync(__dirname).filter(name => name.endsWith('.test.js') && name !== 'build.test.js');
  const env = { ...process.env, HOOKBOX_JS: 'hookbox.min.js' };
  delete env.NODE_TEST_CONTEXT;
  const run = spawnSync(process.execPath, ['--test', ...files], { cwd: __dirname, env, encoding: 'utf8' });
  assert.equal(run.status, 0, run.stdout);
});
