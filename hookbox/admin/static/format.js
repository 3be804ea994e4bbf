// Numbers, sizes and times as people read them.

import { h } from './dom.js';

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const STEPS = [
  ['d', 86400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
];

/** A count, with its thousands apart; a dash for what is not known. */
export function count(number) {
  return Number.isFinite(number) ? grouped.format(number) : '–';
}

/** A number with as many digits as it is worth. */
export function figure(number) {
  if (!Number.isFinite(number)) return '–';
  if (number === 0) return '0';
  const size = Math.abs(number);
  if (size >= 100) return grouped.format(number);
  return String(Number(number.toFixed(size >= 10 ? 1 : size >= 0.1 ? 2 : 3)));
}

/** Bytes. */
export function bytes(number) {
  if (!Number.isFinite(number)) return '–';
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (Math.abs(number) < 1024 || unit === 'GiB') return `${unit === 'B' ? number : figure(number)} ${unit}`;
    number /= 1024;
  }
}

/** How long something took, in seconds. */
export function took(seconds) {
  if (!Number.isFinite(seconds)) return '–';
  if (seconds < 1) return `${figure(seconds * 1000)} ms`;
  return seconds < 60 ? `${figure(seconds)} s` : lasting(seconds);
}

/** How long something has lasted, in seconds: the two largest units. */
export function lasting(seconds) {
  if (!Number.isFinite(seconds)) return '–';
  let left = Math.max(0, Math.floor(seconds));
  const parts = [];
  for (const [unit, size] of STEPS) {
    const number = Math.floor(left / size);
    left -= number * size;
    if (number || (unit === 's' && !parts.length)) parts.push(`${number} ${unit}`);
    else if (parts.length) break;
    if (parts.length === 2) break;
  }
  return parts.join(' ');
}

/** Seconds since the epoch from those, or from RFC 3339; null for neither. */
export function seconds(time) {
  const read = typeof time === 'string' ? Date.parse(time) / 1000 : time;
  return Number.isFinite(read) ? read : null;
}

/** A time with its date, as people here write it. */
export const exactly = (at) => exact.format(new Date(at * 1000));

/** A time in words that go on, the exact one in its title; a dash for none. */
export function when(time) {
  const at = seconds(time);
  if (at === null) return '–';
  const date = new Date(at * 1000);
  return h('time', { datetime: date.toISOString(), title: exact.format(date), 'data-at': at }, ago(at));
}

/** Of a time of the day, with its milliseconds. */
export function clock(time) {
  const at = seconds(time);
  if (at === null) return '–';
  const date = new Date(at * 1000);
  const text = date.toLocaleTimeString('en-GB') + `.${String(date.getMilliseconds()).padStart(3, '0')}`;
  return h('time', { datetime: date.toISOString(), title: exact.format(date) }, text);
}

function ago(at) {
  const age = Date.now() / 1000 - at;
  if (age < -1) return `in ${briefly(-age)}`;
  return age < 1.5 ? 'now' : `${briefly(age)} ago`;
}

function briefly(age) {
  const [unit, size] = STEPS.find(([, size]) => age >= size) ?? ['s', 1];
  return `${Math.floor(age / size)} ${unit}`;
}

/** Keep the times on the page right. */
export function keepTime() {
  setInterval(() => {
    if (document.hidden) return;
    for (const element of document.querySelectorAll('time[data-at]')) {
      const text = ago(Number(element.dataset.at));
      if (element.textContent !== text) element.textContent = text;
    }
  }, 1000);
}

/** A value as text: JSON, on several lines if there is much of it. */
export function json(value) {
  return JSON.stringify(value, null, 2) ?? '';
}

/** Text of a body: JSON is laid out, all else stays. */
export function laidOut(text) {
  try {
    return json(JSON.parse(text));
  } catch {
    return text;
  }
}
