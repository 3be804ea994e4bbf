// One user: connections, channels, options; disconnect.

import * as api from '../api.js';
import { ask } from '../dialog.js';
import { atMost, fill, h } from '../dom.js';
import { tell } from '../notices.js';
import { address } from '../router.js';
import { Table, empty, part } from '../table.js';
import { button, channelLink, several } from '../values.js';
import { COLUMNS } from './connections.js';
import { Options } from './options.js';

export function open({ main, parts: [name], signal, live, title }) {
  title(name);
  const problem = h('div'),
    channels = h('div'),
    connections = h('div');
  const table = new Table({
    caption: 'Connections',
    columns: COLUMNS.filter((column) => column.name !== 'User'),
    key: ({ id }) => id,
  });
  const options = new Options(async (changes) => {
    await api.call('set_user_options', { user_name: name, ...changes });
    tell(`Changed: ${Object.keys(changes).join(', ')}.`);
  });
  main.append(
    h('p.trail', h('a', { href: address('users') }, 'Users')),
    h(
      'div.head',
      h('h1', name),
      h(
        'div.buttons',
        h('a.button', { href: address('webhooks', { user: name }) }, 'Their webhooks'),
        button('Disconnect', () => disconnect(name), 'danger quiet'),
      ),
    ),
    problem,
    part('Connections', null, connections),
    h('div.columns', part('Channels', null, channels), part('Options', null, options.element)),
  );

  const reload = atMost(1000, async () => {
    if (signal.aborted) return;
    try {
      const about = await api.get('api/user', { name }, signal);
      fill(problem);
      table.show(about.connections);
      const shown = about.connections.length
        ? table.element
        : empty('No connection now.', 'The user is remembered for a moment, in case a page comes back.');
      if (connections.firstChild !== shown) connections.replaceChildren(shown);
      fill(
        channels,
        about.channels.length ? several(about.channels.map(channelLink)) : empty('Subscribed to nothing.'),
      );
      options.show(
        about.options,
        Object.keys(about.options).map((each) => ({ name: each, type: 'flag' })),
      );
    } catch (error) {
      if (error.name === 'AbortError') return;
      fill(
        problem,
        error.status === 404
          ? empty('This user is not here (any more).', 'Users go with their last connection.')
          : h('p.problem', { role: 'alert' }, error.message),
      );
    }
  });
  reload();
  const news = (about) => (about?.left_out || about?.item?.user === name) && reload();
  live.listen('connections', news, signal, reload);
}

function disconnect(name) {
  return ask({
    title: `Disconnect ${name}?`,
    text: 'All connections of this user are closed, and their pages are told not to come back by themselves.',
    action: 'Disconnect',
    danger: true,
    act: async () => {
      await api.call('disconnect_user', { name });
      tell(`${name} was disconnected.`);
    },
  });
}
