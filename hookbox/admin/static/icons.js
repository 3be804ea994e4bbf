// Drawings of 24 by 24, made of lines.

import { s } from './dom.js';

const LINES = {
  overview: 'M3 20h18M6 16l4-5 4 3 5-8',
  webhooks: 'M4 7h9l-3-3M13 7l-3 3M20 17h-9l3-3M11 17l3 3',
  channels: 'M9 4L7 20M17 4l-2 16M4 9h17M3 15h17',
  users: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21c1-4 4-6 8-6s7 2 8 6',
  connections: 'M9 15l6-6M8 11l-3 3a4 4 0 0 0 5 5l3-3M16 13l3-3a4 4 0 0 0-5-5l-3 3',
  deliveries: 'M3 12l18-8-7 17-3-7zM11 14l10-10',
  endpoints: 'M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM12 3v3M12 18v3M3 12h3M18 12h3',
  subscriptions: 'M5 19h.01M5 12a7 7 0 0 1 7 7M5 5a14 14 0 0 1 14 14',
  settings: 'M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4',
  menu: 'M4 6h16M4 12h16M4 18h16',
  theme: 'M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z',
  leave: 'M14 4h5v16h-5M4 12h11M11 8l4 4-4 4',
  keys: 'M3 6h18v12H3zM7 10h.01M11 10h.01M15 10h.01M8 14h8',
  close: 'M6 6l12 12M18 6L6 18',
  pause: 'M8 5v14M16 5v14',
  play: 'M7 4l12 8-12 8z',
};

/** A drawing, which says nothing to those who do not see it. */
export function icon(name) {
  const svg = s('svg', { viewBox: '0 0 24 24', 'aria-hidden': 'true', class: 'icon' });
  svg.append(s('path', { d: LINES[name] }));
  return svg;
}
