// The hook bench: every webhook as it happens, and beside the list the one that is being looked at.

import * as api from '../api.js';
import { fill, h } from '../dom.js';
import { took, when } from '../format.js';
import { Listing } from '../listing.js';
import { announce } from '../notices.js';
import { address, go, here } from '../router.js';
import { channelLink, connectionLink, userLink, verdict } from '../values.js';
import { showWebhook } from './webhook.js';

const ACTIONS = [
  'connect',
  'create_channel',
  'subscribe',
  'publish',
  'unsubscribe',
  'message',
  'disconnect',
  'destroy_channel',
  'hub_subscribe',
];
const VERDICTS = [
  ['allowed', 'allowed'],
  ['refused', 'refused'],
  ['failed', 'failed'],
  ['not_asked', 'not asked'],
];
const EXACT = ['connection', 'user', 'channel', 'session', 'action', 'verdict'];
const FILTERS = [
  { name: 'q', label: 'Search' },
  { name: 'verdict', label: 'Verdict', choices: VERDICTS },
  { name: 'action', label: 'Action', choices: ACTIONS },
  { name: 'user', label: 'User', more: true },
  { name: 'channel', label: 'Channel', more: true },
  { name: 'connection', label: 'Connection', more: true },
  { name: 'session', label: 'Login', more: true },
];

const COLUMNS = [
  {
    name: 'Action',
    kind: 'main',
    cell: ({ id, action, again }) => [
      h('a.name', { href: address(['webhooks', id]), 'data-webhook': id }, action),
      again && h('small', ' again'),
    ],
  },
  { name: 'Verdict', kind: 'verdict', cell: (item) => verdict(item.verdict) },
  { name: 'When', cell: ({ at }) => when(at) },
  { name: 'User', cell: ({ user }) => userLink(user) },
  { name: 'Channel', cell: ({ channel }) => channelLink(channel) },
  { name: 'Connection', cell: ({ connection }) => connectionLink(connection) },
  { name: 'Status', kind: 'number', cell: ({ status }) => status || '–' },
  { name: 'Took', kind: 'number', cell: (item) => took(item.took) },
  { name: 'Why', kind: 'wide why', cell: ({ fault, why }) => fault || why },
];

export function open({ main, parts, signal, live }) {
  const listing = new Listing({
    name: 'webhooks',
    filters: FILTERS,
    load: (query, after) => api.get('api/webhooks', { ...query, after }, signal),
    table: {
      caption: 'Webhooks, newest first',
      columns: COLUMNS,
      key: ({ id }) => id,
      mark: ({ verdict: word }) => (word === 'allowed' ? '' : `not-${word}`),
    },
    nothing: [
      'No webhooks yet.',
      'Open a page that connects: Hookbox asks your application “connect”, and you see it here.',
    ],
    feed: 'webhooks',
    accept,
    onShow: () => choose(here().parts[1]),
    signal,
    live,
  });
  const aside = h('aside.bench-detail', { 'aria-label': 'The webhook', tabindex: -1 });
  const bench = h('div.bench', listing.element, aside);
  main.append(h('h1', 'Hook bench'), bench);
  listing.element.addEventListener('click', (event) => {
    const link = event.target.closest('a[data-webhook]');
    const row = event.target.closest('tbody tr');
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // opens another window
    if (!link && (event.target.closest('a, button') || !row || String(getSelection()))) return;
    event.preventDefault();
    go(
      ['webhooks', (link ?? row.querySelector('a[data-webhook]')).dataset.webhook],
      Object.fromEntries(here().query),
    );
  });

  function choose(id) {
    for (const link of listing.element.querySelectorAll('a[data-webhook]')) {
      link.closest('tr').classList.toggle('chosen', link.dataset.webhook === id);
    }
  }

  /** Another webhook, or none; other filters need another list. */
  const moved = ([id], query = new URLSearchParams(listing.query)) => {
    if (FILTERS.some(({ name }) => (query.get(name) ?? '') !== (listing.query[name] ?? ''))) return false;
    bench.classList.toggle('one', Boolean(id));
    choose(id);
    if (id) showWebhook(aside, id, signal);
    else fill(aside);
    return true;
  };
  moved(parts);
  return moved;
}

/** What a webhook that comes in is to this list: on top, or nothing to it. Text is sought by the server. */
function accept(item, query) {
  if (query.q) return undefined;
  if (EXACT.some((name) => query[name] && String(item[name] ?? '') !== query[name])) return null;
  if (item.verdict !== 'allowed') announce(`${item.action} ${item.verdict.replace('_', ' ')}: ${item.why}`);
  return item;
}
