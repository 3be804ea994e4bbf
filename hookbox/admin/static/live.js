// The live connection: Hookbox's own channels, by Hookbox's own client, to which the pages listen.

import { connect } from './hookbox.mjs';

const NEVER = { minDelay: 0.5, maxDelay: 10 };
const STATES = {
  connecting: 'connecting',
  connected: 'live',
  waiting: 'reconnecting',
  offline: 'offline',
  refused: 'ended',
  closed: 'ended',
};

/** One connection for all pages. */
export class Live {
  /**
   * @param base address of the console
   * @param onState told `connecting`, `live`, `reconnecting`, `offline` or `ended`, and how often it was cut
   */
  constructor(base, onState) {
    this._feeds = new Map();
    this._cuts = 0;
    this._connection = connect(base, null, '', NEVER);
    this._connection.on('state', (state, reason) => {
      if (state === 'waiting') this._cuts += 1;
      onState(STATES[state] ?? state, this._cuts, reason);
    });
    this._connection.on('error', () => {}); // a feed that is refused: its page shows what it has
    onState('connecting', 0, {});
  }

  /** Whether something comes in now. */
  get on() {
    return this._connection.connected;
  }

  /**
   * Listen to a channel until the signal aborts.
   *
   * @param heard is given each payload
   * @param gap is called when some may have been missed: once it is subscribed, and after a long cut
   */
  listen(channel, heard, signal, gap = () => {}) {
    const feed = this._feeds.get(channel) ?? this._open(channel);
    const listener = { heard, gap };
    feed.listeners.add(listener);
    clearTimeout(feed.closing);
    signal.addEventListener('abort', () => {
      feed.listeners.delete(listener);
      if (!feed.listeners.size) feed.closing = setTimeout(() => this._close(channel, feed), 2000);
    });
  }

  /** Be not live any more: nobody is let in without a login, however often one asks. */
  end() {
    this._connection.disconnect();
  }

  _open(channel) {
    const feed = { listeners: new Set(), closing: 0 };
    this._feeds.set(channel, feed);
    feed.subscribing = this._connection.subscribe(channel);
    feed.subscribing
      .then((subscription) => {
        feed.subscription = subscription;
        subscription.on('publish', ({ payload }) => feed.listeners.forEach((each) => each.heard(payload)));
        subscription.on('recovered', ({ recovered }) => {
          if (!recovered) feed.listeners.forEach((each) => each.gap());
        });
        feed.listeners.forEach((each) => each.gap()); // what happened while we were subscribing
      })
      .catch(() => this._feeds.delete(channel));
    return feed;
  }

  _close(channel, feed) {
    if (feed.listeners.size || this._feeds.get(channel) !== feed) return;
    this._feeds.delete(channel);
    feed.subscription?.cancel().catch(() => {});
  }
}
