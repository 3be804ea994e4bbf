// One delivery: each attempt, and what was answered; retry, cancel, send the message again.

import * as api from '../api.js';
import { ask } from '../dialog.js';
import { atMost, fill, h } from '../dom.js';
import { clock, count, laidOut, took, when } from '../format.js';
import { tell } from '../notices.js';
import { address, go } from '../router.js';
import { empty, facts, part } from '../table.js';
import { badge, button, channelLink, code, endpointLink, hidden, revealBody, state } from '../values.js';

const OVER = ['succeeded', 'dead', 'cancelled'];

export function open({ main, parts: [id], signal, live, title }) {
  title(`Delivery ${id}`);
  const path = `api/v1/deliveries/${api.path(id)}`;
  const head = h('div'),
    about = h('div'),
    attempts = h('div');
  const act = (verb, parameters) => async () => {
    await api.post(`${path}/${verb}`, parameters);
    reload();
  };
  main.append(
    h('p.trail', h('a', { href: address('deliveries') }, 'Deliveries')),
    head,
    about,
    part('Attempts', null, attempts),
  );

  let seen = '';
  const reload = atMost(1000, async () => {
    if (signal.aborted) return;
    try {
      const item = await api.get(path, {}, signal);
      if (JSON.stringify(item) === seen) return;
      seen = JSON.stringify(item);
      fill(head, heading(item, act));
      fill(about, aboutIt(item));
      fill(
        attempts,
        item.attempts_made.length
          ? [...item.attempts_made].reverse().map((made) => attempt(id, made))
          : empty('None yet.', item.due && ['The first one is due ', when(item.due), '.']),
      );
    } catch (error) {
      if (error.name === 'AbortError') return;
      fill(
        head,
        h('h1', 'Delivery ', h('code', id)),
        error.status === 404
          ? empty(
              'There is no such delivery (any more).',
              'The settings retain_succeeded and retain_dead say how long they are kept.',
            )
          : h('p.problem', { role: 'alert' }, error.message),
      );
    }
  });
  reload();
  live.listen('deliveries', reload, signal, reload);
}

function heading(item, act) {
  const over = OVER.includes(item.state);
  return h(
    'div.head',
    h('h1', 'Delivery ', state(item.state)),
    h(
      'div.buttons',
      button('Retry now', act('retry', {}), 'primary'),
      over && button('Retry, schedule anew', act('retry', { reset: true })),
      button('Send to another URL…', () => resend(item)),
      !over && button('Cancel', () => cancel(act), 'danger quiet'),
    ),
  );
}

function aboutIt(item) {
  const { wishes } = item;
  return facts([
    ['To', h('code', item.url)],
    ['Reason', item.reason],
    ['Topic', item.topic && channelLink(item.topic)],
    ['Type', item.type],
    ['Endpoint', item.endpoint && endpointLink(item.endpoint)],
    ['Attempts', `${count(item.attempts)}, of which ${count(item.failures)} failed`],
    ['Created', when(item.created)],
    ['Due', item.due && when(item.due)],
    ['Over', item.done && when(item.done)],
    ['Signed', item.endpoint ? 'with the endpoint’s secrets' : wishes.signed ? 'yes' : 'no'],
    ['Tag', item.tag],
    ['Expires', wishes.expires && when(wishes.expires)],
    ['Id', h('code', item.id)],
    [
      'Message',
      [h('code', item.message_id), hidden('message', revealBody('message', { id: item.message_id }))],
    ],
  ]);
}

function attempt(id, made) {
  const good = made.status >= 200 && made.status < 300;
  const body = made.response?.body;
  return h(
    'article.attempt',
    h(
      'h3',
      `Attempt ${made.n} `,
      badge(made.status ?? made.class, good ? 'good' : 'bad'),
      ' ',
      made.detail ?? '',
      h('small', made.trigger),
    ),
    h(
      'p.soft',
      when(made.time),
      ' (',
      clock(made.time),
      '), ',
      took(made.took_ms / 1000),
      made.address && `, ${made.address}`,
    ),
    pairs('Request headers', made.request?.headers),
    made.response && pairs('Answer headers', made.response.headers),
    body === 'masked'
      ? hidden('answer', revealBody('attempt', { id, n: made.n }))
      : body && shut('Answer', code(laidOut(body), 'answer')),
  );
}

function pairs(title, given) {
  if (!given?.length) return null;
  return shut(
    title,
    h(
      'table.pairs',
      h(
        'tbody',
        given.map(([name, value]) => h('tr', h('th', { scope: 'row' }, name), h('td', value))),
      ),
    ),
  );
}

const shut = (title, ...children) => h('details', h('summary', title), children);

function cancel(act) {
  return ask({
    title: 'Cancel this delivery?',
    text: 'It is given up. An ordered endpoint goes on with the next one.',
    action: 'Give it up',
    danger: true,
    act: act('cancel', {}),
  });
}

function resend({ message_id }) {
  return ask({
    title: 'Send the message to another URL',
    text: 'It is delivered once more, with the same webhook-id.',
    fields: [
      { name: 'url', label: 'URL', type: 'url', required: true },
      { name: 'secret', label: 'Signed with the secret', help: 'may be left empty', type: 'password' },
    ],
    action: 'Send',
    act: async ({ url, secret }) => {
      const told = await api.post(
        `api/v1/messages/${api.path(message_id)}/resend`,
        secret ? { url, secret } : { url },
      );
      tell('It is on its way.');
      go(['deliveries', told.deliveries[0].id]);
    },
  });
}
