// One connection: what it is, what is queued for it, its cookies, and all that happened to it.

import * as api from '../api.js';
import { ask } from '../dialog.js';
import { atMost, fill, h } from '../dom.js';
import { bytes, count, when } from '../format.js';
import { tell } from '../notices.js';
import { address, go } from '../router.js';
import { empty, facts, part } from '../table.js';
import { badge, button, channelLink, cookies, sessionLink, several, short, userLink } from '../values.js';
import { Journal } from './journal.js';

export function open({ main, parts: [id], signal, live, title }) {
  title(`Connection ${short(id)}`);
  const about = h('div'),
    journal = new Journal(false);
  const closing = button('Disconnect', () => disconnect(id), 'danger quiet');
  const session = h('span');
  main.append(
    h('p.trail', h('a', { href: address('connections') }, 'Connections')),
    h(
      'div.head',
      h('h1', { title: id }, 'Connection ', h('code', short(id))),
      h(
        'div.buttons',
        h('a.button', { href: address('webhooks', { connection: id }) }, 'Its webhooks'),
        session,
        closing,
      ),
    ),
    about,
    part('From handshake to goodbye', null, journal.element),
  );

  const show = atMost(1000, async () => {
    if (signal.aborted) return;
    try {
      const found = await api.get('api/connection', { id }, signal);
      fill(about, aboutIt(found));
      fill(
        session,
        found.session && h('a.button', { href: address(['sessions', found.session]) }, 'Follow the login'),
      );
    } catch (error) {
      if (error.name === 'AbortError') return;
      closing.disabled = error.status === 404;
      const gone = empty(
        'This connection is gone.',
        'What is remembered of it stands below. If its page came back, it did so as a new connection of the ' +
          'same login.',
      );
      fill(about, error.status === 404 ? gone : h('p.problem', { role: 'alert' }, error.message));
    }
  });
  const load = () =>
    journal
      .load({ connection: id }, signal)
      .catch((error) => error.name === 'AbortError' || tell(error.message, true));
  show();
  load();
  live.listen(
    `follow:${id}`,
    (item) => {
      journal.add(item);
      show();
    },
    signal,
    load,
  );
}

function aboutIt(found) {
  return facts([
    ['User', found.connected ? userLink(found.user) : badge('not let in', 'warn')],
    ['Transport', badge(found.transport)],
    ['Address', found.address],
    ['Opened', when(Date.now() / 1000 - found.age)],
    ['Login', found.session ? sessionLink(found.session) : 'no session cookie'],
    ['Queue', `${bytes(found.queue_bytes)}, ${count(found.queue_messages)} messages`],
    ['Features', found.features?.length ? found.features.join(', ') : 'none'],
    ['Channels', found.channel_names.length ? several(found.channel_names.map(channelLink)) : 'none'],
    ['Cookies', cookies(found.cookies) ?? 'none'],
    ['Id', h('code', found.id)],
  ]);
}

function disconnect(id) {
  return ask({
    title: 'Disconnect?',
    text: 'The connection is closed, and its page is told not to come back by itself.',
    action: 'Disconnect',
    danger: true,
    act: async () => {
      await api.call('disconnect', { identifier: id });
      tell('Disconnected.');
      go('connections');
    },
  });
}
