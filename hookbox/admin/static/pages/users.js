// All users.

import * as api from '../api.js';
import { h } from '../dom.js';
import { count } from '../format.js';
import { Listing } from '../listing.js';
import { flag, several, userLink } from '../values.js';

const COLUMNS = [
  { name: 'User', kind: 'main', cell: ({ name }) => userLink(name) },
  { name: 'Connections', kind: 'number', cell: ({ connections }) => count(connections) },
  { name: 'Channels', kind: 'number', cell: ({ channels }) => count(channels) },
  {
    name: 'Options',
    kind: 'wide',
    cell: ({ options }) => several(Object.entries(options).map(([name, on]) => flag(on, name))),
  },
];

export function open({ main, signal, live }) {
  const listing = new Listing({
    name: 'users',
    filters: [{ name: 'q', label: 'Name contains' }],
    load: (query, after) => api.get('api/users', { ...query, after }, signal),
    table: { caption: 'Users', columns: COLUMNS, key: ({ name }) => name },
    nothing: [
      'No users yet.',
      'A user is who your application says that a connection is: open a page that connects.',
    ],
    feed: 'connections',
    signal,
    live,
  });
  main.append(h('h1', 'Users'), listing.element);
}
