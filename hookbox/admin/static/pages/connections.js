// All connections.

import * as api from '../api.js';
import { h } from '../dom.js';
import { bytes, count, when } from '../format.js';
import { Listing } from '../listing.js';
import { badge, connectionLink, userLink } from '../values.js';

export const COLUMNS = [
  { name: 'Connection', kind: 'main', cell: ({ id }) => connectionLink(id) },
  { name: 'User', cell: ({ user, connected }) => (connected ? userLink(user) : badge('not let in', 'warn')) },
  { name: 'Transport', cell: ({ transport }) => badge(transport) },
  { name: 'Address', cell: ({ address }) => address || '–' },
  { name: 'Opened', cell: ({ age }) => when(Date.now() / 1000 - age) },
  {
    name: 'Queue',
    kind: 'number',
    cell: ({ queue_bytes, queue_messages }) =>
      queue_bytes ? `${bytes(queue_bytes)}${queue_messages ? `, ${count(queue_messages)}` : ''}` : '0',
  },
  { name: 'Channels', kind: 'number', cell: ({ channels }) => count(channels) },
];

export function open({ main, signal, live }) {
  const listing = new Listing({
    name: 'connections',
    filters: [
      { name: 'q', label: 'Search' },
      { name: 'user', label: 'User', more: true },
      { name: 'session', label: 'Login', more: true },
    ],
    load: (query, after) => api.get('api/connections', { ...query, after }, signal),
    table: { caption: 'Connections', columns: COLUMNS, key: ({ id }) => id },
    nothing: ['No connections.', 'Open a page that connects: it shows up here at once.'],
    feed: 'connections',
    signal,
    live,
  });
  main.append(h('h1', 'Connections'), listing.element);
}
