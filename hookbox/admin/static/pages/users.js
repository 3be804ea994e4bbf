// All users.

import * as api from '../api.js';
import { h } from '../dom.js';
import { count } from '../format.js';
import { Listing } from '../listing.js';
import { channelLink, several, userLink } from '../values.js';

const SHOWN = 6; // channels named in a row
const COLUMNS = [
  { name: 'User', kind: 'main', cell: ({ name }) => userLink(name) },
  { name: 'Connections', kind: 'number', cell: ({ connections }) => count(amount(connections)) },
  { name: 'Channels', kind: 'wide', cell: ({ channels }) => channelsOf(channels) },
];

const amount = (value) => (Array.isArray(value) ? value.length : value);

function channelsOf(channels) {
  if (!Array.isArray(channels)) return count(channels);
  const rest = channels.length - SHOWN;
  return several([...channels.slice(0, SHOWN).map(channelLink), rest > 0 && `and ${count(rest)} more`]);
}

export function open({ main, signal, live }) {
  const listing = new Listing({
    name: 'users',
    filters: [{ name: 'q', label: 'Name contains' }],
    load: (query, after) => api.get('api/users', { ...query, after }, signal),
    table: { caption: 'Users', columns: COLUMNS, key: ({ name }) => name },
    nothing: ['No users yet.', 'A user is who your application says that a connection is: open a page that connects.'],
    feed: 'connections',
    signal,
    live,
  });
  main.append(h('h1', {}, 'Users'), listing.element);
}
