// Subscriptions by WebSub: other people's servers that are told of a topic.

import * as api from '../api.js';
import { ask } from '../dialog.js';
import { h } from '../dom.js';
import { when } from '../format.js';
import { Listing } from '../listing.js';
import { tell } from '../notices.js';
import { address } from '../router.js';
import { button, channelLink, state } from '../values.js';
import { pageOf } from './deliveries.js';

export function open({ main, signal, live }) {
  const columns = [
    { name: 'Topic', kind: 'main', cell: ({ topic }) => channelLink(topic) },
    { name: 'State', cell: (item) => state(item.state) },
    { name: 'Callback', kind: 'wide', cell: ({ callback }) => h('span.url', callback) },
    { name: 'Signed', cell: ({ signed }) => (signed ? 'yes' : 'no') },
    { name: 'Lease until', cell: ({ lease_until }) => when(lease_until) },
    { name: 'Failing since', cell: ({ failing_since }) => when(failing_since) },
    {
      name: '',
      kind: 'act',
      cell: (item) => [
        h('a', { href: address('deliveries', { endpoint: item.id }) }, 'deliveries'),
        ' ',
        button('End', () => end(item, listing), 'danger quiet'),
      ],
    },
  ];
  const listing = new Listing({
    name: 'subscriptions',
    filters: [{ name: 'topic', label: 'Topic' }],
    load: pageOf('subscriptions', 'subscriptions'),
    table: { caption: 'Subscriptions by WebSub', columns, key: ({ id }) => id },
    nothing: [
      'No subscriptions by WebSub.',
      'Other servers subscribe at /hub, to a topic’s own URL /topic/<name>; ' +
        'the settings under “WebSub hub” say who may.',
    ],
    feed: 'deliveries',
    signal,
    live,
  });
  main.append(h('h1', 'WebSub subscriptions'), listing.element);
}

function end({ id, topic, callback }, listing) {
  return ask({
    title: 'End this subscription?',
    text: `${callback} hears nothing of ${topic} any more, and is told so.`,
    action: 'End it',
    danger: true,
    act: async () => {
      await api.remove(`api/v1/subscriptions/${api.path(id)}`);
      tell('Ended.');
      listing.reload();
    },
  });
}
