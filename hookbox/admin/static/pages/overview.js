// How things stand, and the last hour.

import * as api from '../api.js';
import { fill, h } from '../dom.js';
import { bytes, count, exactly, figure, lasting, took } from '../format.js';
import { announce } from '../notices.js';
import { Plot } from '../plot.js';
import { address } from '../router.js';
import { empty } from '../table.js';

const HOUR = 3600;
const perSecond = (value) => (Number.isFinite(value) ? `${figure(value)}/s` : '–');
const milliseconds = (value) => (Number.isFinite(value) ? took(value / 1000) : '–');
const PLOTS = [
  { title: 'Connections', lines: [{ name: 'connections', column: 'connections' }], shown: count },
  {
    title: 'Messages',
    lines: [
      { name: 'published', column: 'publications' },
      { name: 'sent to URLs', column: 'deliveries' },
    ],
    shown: perSecond,
  },
  {
    title: 'Webhooks',
    lines: [
      { name: 'asked', column: 'webhooks' },
      { name: 'failed', column: 'failures' },
    ],
    shown: perSecond,
  },
  {
    title: 'Webhook latency',
    lines: [
      { name: 'mean', column: 'webhook_ms' },
      { name: '95 % below', column: 'webhook_p95_ms' },
    ],
    shown: milliseconds,
  },
  { title: 'Memory', lines: [{ name: 'memory', column: 'memory' }], shown: bytes, binary: true },
  { title: 'Event-loop lag', lines: [{ name: 'lag', column: 'lag_ms' }], shown: milliseconds },
];

export function open({ main, signal, live }) {
  const state = h('div.standing'),
    tiles = h('div.tiles'),
    plots = PLOTS.map((about) => new Plot(about));
  let columns = [],
    rows = [];
  main.append(
    h('h1', 'Overview'),
    state,
    tiles,
    h(
      'div.plots',
      plots.map(({ element }) => element),
    ),
  );

  const draw = () => plots.forEach((plot) => plot.show(rows));
  const named = (row) => Object.fromEntries(columns.map((column, n) => [column, row[n]]));

  async function load(samples) {
    try {
      const told = await api.get('api/overview', samples ? {} : { samples: 0 }, signal);
      showStanding(state, told);
      showTiles(tiles, told.counts);
      if (!samples) return;
      columns = told.samples.columns;
      rows = told.samples.rows.map(named);
      draw();
    } catch (error) {
      if (error.name !== 'AbortError') fill(state, h('p.problem', { role: 'alert' }, error.message));
    }
  }

  load(true);
  live.listen(
    'overview',
    (row) => {
      rows = [...rows.filter(({ at }) => at > row[0] - HOUR && at < row[0]), named(row)];
      draw();
      load(false);
    },
    signal,
    () => load(true),
  );
}

let word = '';

function showStanding(place, { started, now, version, draining, degraded }) {
  const problem = draining ? 'Draining: no new connections are taken, the server is about to end.' : degraded;
  if (problem && problem !== word) announce(String(problem));
  word = problem;
  fill(
    place,
    problem
      ? h(
          'p.problem',
          problem === true ? 'Something does not work as it should: see the log.' : String(problem),
        )
      : h('p.fine', 'Running normally.'),
    h('p', { title: exactly(started) }, `Hookbox ${version}, up for ${lasting(now - started)}`),
  );
}

function showTiles(place, counts) {
  const sum = (value) =>
    typeof value === 'object' && value ? Object.values(value).reduce((a, b) => a + b, 0) : value;
  const by = (value) =>
    typeof value === 'object' && value
      ? Object.entries(value)
          .filter(([, n]) => n)
          .map(([name, n]) => `${count(n)} ${name}`)
          .join(', ')
      : '';
  const tile = (name, value, href, note = '', bad = false) =>
    h(bad ? 'a.tile.bad' : 'a.tile', { href }, h('span', name), h('b', count(value)), h('small', note));
  fill(
    place,
    tile('Connections', sum(counts.connections), address('connections'), by(counts.connections)),
    tile('Users', counts.users, address('users')),
    tile('Channels', counts.channels, address('channels'), `${count(counts.subscriptions)} subscriptions`),
    tile(
      'Deliveries waiting',
      counts.waiting_deliveries,
      address('deliveries', { state: 'scheduled,waiting,in_flight' }),
    ),
    tile(
      'Deliveries dead',
      counts.dead_deliveries,
      address('deliveries', { state: 'dead' }),
      '',
      counts.dead_deliveries > 0,
    ),
    counts.breaker_open &&
      h(
        'a.tile.bad',
        { href: address('webhooks', { verdict: 'not_asked' }) },
        h('span', 'Circuit breaker'),
        h('b', 'open'),
        h('small', 'the application fails all the time'),
      ),
  );
  if (!sum(counts.connections))
    place.append(
      empty('Nobody is connected.', 'Open a page that connects to this Hookbox: it shows up here at once.'),
    );
}
