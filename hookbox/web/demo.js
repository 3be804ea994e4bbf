'use strict';

const byId = id => document.getElementById(id);
const NAMES = ['Ada', 'Alan', 'Barbara', 'Edsger', 'Grace', 'Hedy', 'Katherine', 'Ken', 'Radia', 'Tim'];
const wish = `${NAMES[Math.floor(Math.random() * NAMES.length)]} ${Math.floor(Math.random() * 900) + 100}`;
const conn = hookbox.connect(location.href.replace(/[?#].*/, ''), wish);

function show({ user, payload }) {
  const item = document.createElement('li');
  const name = document.createElement('b');
  name.textContent = user || 'application';
  item.append(name, `: ${typeof payload === 'string' ? payload : JSON.stringify(payload)}`);
  byId('messages').append(item);
  item.scrollIntoView({ block: 'nearest' });
}

conn.on('state', state => { byId('state').textContent = state; });
conn.on('open', ({ name }) => { byId('name').textContent = name; });
conn.on('error', error => show({ user: 'Hookbox', payload: error.msg }));

conn.subscribe('demo').then(demo => {
  const showPresence = () => { byId('presence').textContent = demo.presence.join(', '); };
  demo.history.filter(([kind]) => kind === 'PUBLISH').forEach(([, frame]) => show(frame));
  demo.on('publish', show);
  demo.on('subscribe', showPresence);
  demo.on('unsubscribe', showPresence);
  showPresence();
  byId('form').addEventListener('submit', event => {
    event.preventDefault();
    const text = byId('text').value.trim();
    if (text) demo.publish(text);
    byId('text').value = '';
  });
});
