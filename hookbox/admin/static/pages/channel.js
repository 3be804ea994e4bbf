// One channel: who is there, what was said, its state and its options; publish, kick, destroy.

import * as api from '../api.js';
import { ask, field, readJson } from '../dialog.js';
import { atMost, fill, h } from '../dom.js';
import { bytes, count, json, when } from '../format.js';
import { tell } from '../notices.js';
import { address, go } from '../router.js';
import { Table, empty, facts, part } from '../table.js';
import { badge, button, hidden, revealPayload, several, userLink } from '../values.js';
import { Options } from './options.js';

export function open({ main, parts: [name], signal, live, title }) {
  title(name);
  const places = Object.fromEntries(
    ['about', 'subscribers', 'history', 'recent', 'state'].map((each) => [each, h('div')]),
  );
  const subscribers = subscriberTable(name, () => reload()),
    history = historyTable(name),
    recent = historyTable(name);
  const options = new Options((changes) => change(name, changes).then(() => reload()));
  const problem = h('div');
  main.append(
    h('p.trail', h('a', { href: address('channels') }, 'Channels')),
    h(
      'div.head',
      h('h1', name),
      h(
        'div.buttons',
        h('a.button', { href: address('webhooks', { channel: name }) }, 'Its webhooks'),
        button('Destroy', () => destroy(name), 'danger quiet'),
      ),
    ),
    problem,
    places.about,
    h(
      'div.columns',
      h(
        'div',
        publishing(name, () => reload()),
        part('Subscribers', null, places.subscribers),
        part('State', null, places.state),
        part('Options', null, options.element),
      ),
      h('div', part('History', null, places.history), part('Kept for recovery', null, places.recent)),
    ),
  );

  const reload = atMost(1000, async () => {
    if (signal.aborted) return;
    try {
      const about = await api.get('api/channel', { name }, signal);
      fill(problem);
      fill(
        places.about,
        facts([
          ['Offset', count(about.offset)],
          ['Epoch', about.epoch && h('code', about.epoch)],
          ['Subscribers', count(about.subscriber_count)],
          ['Connections', count(about.connections)],
        ]),
      );
      showTable(
        places.subscribers,
        subscribers,
        about.subscribers,
        empty('Nobody is subscribed.', 'A page subscribes with conn.subscribe(name).'),
      );
      showTable(
        places.history,
        history,
        newest(about.history),
        empty(
          'New subscribers are shown nothing.',
          'Set history_size below to keep what is published from then on.',
        ),
      );
      showTable(places.recent, recent, newest(about.recent), empty('Nothing was published lately.'));
      showState(places.state, name, about.state);
      options.show(about.options, about.option_about);
    } catch (error) {
      if (error.name === 'AbortError') return;
      const gone = error.status === 404;
      fill(
        problem,
        gone
          ? empty(
              'This channel does not exist (any more).',
              'It comes into being with the first subscription.',
            )
          : h('p.problem', { role: 'alert' }, error.message),
      );
    }
  });
  reload();
  live.listen(
    'channels',
    (news) => (news?.left_out || news?.item?.name === name || news?.name === name) && reload(),
    signal,
    reload,
  );
}

/** The newest first; what has no offset, as your application gave it, is known by its place in the list. */
const newest = (items) => items.map((item, index) => (item.offset ? item : { ...item, index })).reverse();

function showTable(place, table, items, nothing) {
  table.show(items);
  const child = items.length ? table.element : nothing;
  if (place.firstChild !== child) place.replaceChildren(child);
}

function subscriberTable(channel, changed) {
  const kick = (user) =>
    ask({
      title: `Unsubscribe ${user}?`,
      text:
        `${user} hears nothing of ${channel} from then on, on any connection. ` +
        'Your application is not asked, and may let them in again.',
      action: 'Unsubscribe',
      danger: true,
      act: async () => {
        await api.call('unsubscribe', { channel_name: channel, name: user });
        tell(`${user} is no longer subscribed.`);
        changed();
      },
    });
  return new Table({
    caption: 'Subscribers',
    key: ({ name }) => name,
    columns: [
      { name: 'User', kind: 'main', cell: ({ name }) => userLink(name) },
      { name: 'Connections', kind: 'number', cell: ({ connections }) => count(connections) },
      { name: '', kind: 'act', cell: ({ name }) => button('Kick', () => kick(name), 'danger quiet') },
    ],
  });
}

/** Publications, and who came and went. */
function historyTable(channel) {
  return new Table({
    caption: 'Newest first',
    key: ({ offset, index, kind, user, size }) => offset ?? `${index} ${kind} ${user} ${size}`,
    columns: [
      { name: 'Offset', kind: 'number', cell: ({ offset }) => count(offset) },
      { name: 'When', cell: ({ at }) => when(at) },
      { name: 'What', cell: ({ kind }) => badge(kind.toLowerCase()) },
      { name: 'User', cell: ({ user }) => (user ? userLink(user) : '–') },
      {
        name: 'Payload',
        kind: 'wide',
        cell: ({ kind, offset, index, size, payload }) =>
          payload !== null &&
          kind === 'PUBLISH' &&
          hidden(
            'payload',
            offset
              ? revealPayload('publication', { channel, offset })
              : revealPayload('history', { channel, index }),
            bytes(size),
          ),
      },
    ],
  });
}

function showState(place, channel, state) {
  const text = JSON.stringify(state);
  if (place.dataset.text === text) return;
  place.dataset.text = text;
  const keys = Object.keys(state),
    masked = Object.values(state).includes('masked');
  if (!keys.length)
    return fill(
      place,
      empty(
        'The state is empty.',
        'Your application sets it by state_set_key; all subscribers see it change.',
      ),
    );
  fill(
    place,
    h('p', several(keys.map((key) => h('code', key)))),
    hidden('state', async () => (masked ? revealPayload('state', { channel })() : json(state))),
  );
}

function publishing(channel, done) {
  const payload = field({
    name: 'payload',
    label: 'Payload',
    rows: 2,
    help: 'JSON; text that is none is sent as a string',
  });
  const originator = field({
    name: 'originator',
    label: 'In the name of',
    help: 'a user; may be left empty',
  });
  const problem = h('p.problem', { role: 'alert', hidden: true });
  const form = h(
    'form.publish',
    {
      onsubmit: async (event) => {
        event.preventDefault();
        try {
          const user = originator.value().trim();
          const told = await api.call('publish', {
            channel_name: channel,
            payload: loosely(payload.value()),
            ...(user && { originator: user }),
          });
          tell(told.offset ? `Published, number ${count(told.offset)}.` : 'Published.');
          problem.hidden = true;
          payload.input.value = '';
          done();
        } catch (error) {
          fill(problem, error.message).hidden = false;
        }
      },
    },
    payload.element,
    originator.element,
    problem,
    h('div.buttons', h('button.primary', 'Publish')),
  );
  return part('Publish', null, form);
}

function loosely(text) {
  try {
    return readJson(text, null);
  } catch {
    return text;
  }
}

async function change(channel, changes) {
  await api.call('set_channel_options', { channel_name: channel, ...changes });
  tell(`Changed: ${Object.keys(changes).join(', ')}.`);
}

function destroy(channel) {
  return ask({
    title: `Destroy ${channel}?`,
    text: 'All its subscribers are unsubscribed, and its history and state are gone. Your application is not asked.',
    action: 'Destroy the channel',
    danger: true,
    act: async () => {
      await api.call('destroy_channel', { channel_name: channel });
      tell(`${json(channel)} is gone.`);
      go('channels');
    },
  });
}
