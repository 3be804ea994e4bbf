const byId = id => document.getElementById(id);
const names = ['ada', 'bea', 'cem', 'dov', 'eve', 'fay', 'gil', 'hal', 'ivo', 'jun'];
const me = names[Math.floor(Math.random() * names.length)] + '-' + Math.floor(Math.random() * 90 + 10);

function show(who, text) {
  const line = document.createElement('li');
  if (who) { const name = document.createElement('b'); name.textContent = who; line.append(name); }
  else line.className = 'note';
  line.append(text);
  byId('log').append(line);
  line.scrollIntoView({block: 'nearest'});
}
const spoken = payload => typeof payload === 'string' ? payload : JSON.stringify(payload);

const conn = hookbox.connect(new URL('.', location.href).href, me);
conn.onOpen = args => { byId('who').textContent = 'You are ' + args.name; };
conn.onError = error => show('', error.msg || String(error));
conn.on('state', state => { byId('state').textContent = state; });
conn.onSubscribed = (channel, subscription) => {
  byId('state').textContent = 'connected';
  for (const [kind, args] of subscription.history) if (kind === 'PUBLISH') show(args.user, spoken(args.payload));
  show('', 'here now: ' + subscription.presence.join(', '));
  subscription.onPublish = frame => show(frame.user || 'API', spoken(frame.payload));
  subscription.onSubscribe = frame => show('', frame.user + ' came');
  subscription.onUnsubscribe = frame => show('', frame.user + ' left');
};
conn.subscribe('demo');
byId('form').addEventListener('submit', event => {
  event.preventDefault();
  conn.publish('demo', byId('text').value);
  byId('text').value = '';
});
