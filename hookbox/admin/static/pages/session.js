// One login of the application: all its connections, whatever they went over, in one line of time.

import * as api from '../api.js';
import { ask } from '../dialog.js';
import { atMost, fill, h } from '../dom.js';
import { tell } from '../notices.js';
import { address } from '../router.js';
import { Table, empty, part } from '../table.js';
import { button, short } from '../values.js';
import { COLUMNS } from './connections.js';
import { Journal } from './journal.js';

export function open({ main, parts: [session], signal, live, title }) {
  title(`Login ${short(session)}`);
  const connections = h('div'),
    journal = new Journal(true);
  const table = new Table({ caption: 'Connections', columns: COLUMNS, key: ({ id }) => id });
  main.append(
    h('p.trail', h('a', { href: address('connections') }, 'Connections')),
    h(
      'div.head',
      h('h1', { title: session }, 'Login ', h('code', short(session))),
      h(
        'div.buttons',
        h('a.button', { href: address('webhooks', { session }) }, 'Its webhooks'),
        button('End it', () => end(session), 'danger quiet'),
      ),
    ),
    part('Connections', null, connections),
    part('From handshake to goodbye, on every transport', null, journal.element),
  );

  const reload = atMost(1000, async () => {
    if (signal.aborted) return;
    try {
      const [found] = await Promise.all([
        api.get('api/connections', { session, limit: 200 }, signal),
        journal.load({ session }, signal),
      ]);
      table.show(found.items);
      connections.replaceChildren(
        found.items.length
          ? table.element
          : empty('No connection now.', 'It stays here if one of its pages comes back.'),
      );
    } catch (error) {
      if (error.name !== 'AbortError') fill(connections, h('p.problem', { role: 'alert' }, error.message));
    }
  });
  reload();
  const news = (item) =>
    (item?.left_out || item?.session === session || item?.item?.session === session) && reload();
  live.listen('connections', news, signal, reload);
  live.listen('webhooks', news, signal, reload);
}

function end(session) {
  return ask({
    title: 'End this login’s connections?',
    text:
      'All connections with this session cookie are closed, and their pages are told not to come back by ' +
      'themselves. The login in your application is not touched.',
    action: 'End them',
    danger: true,
    act: async () => {
      await api.call('disconnect', { session });
      tell('Ended.');
    },
  });
}
