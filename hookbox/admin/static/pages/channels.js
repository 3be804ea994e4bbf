// All channels.

import * as api from '../api.js';
import { ask, readJson } from '../dialog.js';
import { h } from '../dom.js';
import { count } from '../format.js';
import { Listing } from '../listing.js';
import { tell } from '../notices.js';
import { go } from '../router.js';
import { button, channelLink, flag, several } from '../values.js';

const COLUMNS = [
  { name: 'Channel', kind: 'main', cell: ({ name }) => channelLink(name) },
  { name: 'Subscribers', kind: 'number', cell: ({ subscribers }) => count(subscribers) },
  { name: 'Connections', kind: 'number', cell: ({ connections }) => count(connections) },
  { name: 'Publications', kind: 'number', cell: ({ offset }) => count(offset) },
  { name: 'History', kind: 'number', cell: ({ history }) => count(history) },
  {
    name: 'Options',
    cell: (item) =>
      several(['moderated', 'presenceful', 'durable', 'anonymous'].map((word) => flag(item[word], word))),
  },
];

export function open({ main, signal, live }) {
  const listing = new Listing({
    name: 'channels',
    filters: [{ name: 'q', label: 'Name contains' }],
    load: (query, after) => api.get('api/channels', { ...query, after }, signal),
    table: { caption: 'Channels', columns: COLUMNS, key: ({ name }) => name },
    nothing: [
      'No channels yet.',
      'The first subscription to a channel creates it. You can create one here, too.',
    ],
    feed: 'channels',
    tools: [button('Create a channel', create)],
    signal,
    live,
  });
  main.append(h('h1', 'Channels'), listing.element);
}

function create() {
  return ask({
    title: 'Create a channel',
    text: 'Your application is not asked.',
    fields: [
      { name: 'channel_name', label: 'Name', required: true },
      {
        name: 'options',
        label: 'Options',
        rows: 3,
        help: 'JSON, such as {"presenceful": true}; may be left empty',
      },
    ],
    action: 'Create',
    act: async ({ channel_name, options }) => {
      await api.call('create_channel', { ...readJson(options, {}), channel_name });
      tell('Created.');
      go(['channels', channel_name]);
    },
  });
}
