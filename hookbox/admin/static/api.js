// Calls to the server. Who is not logged in any more hears it once, from `onEnd`.

/** The server said no. */
export class Refused extends Error {
  constructor(status, message, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const IDLE = 60000; // milliseconds without a hand at the keys, after which our calls are no sign of a human

let token = '';
let touched = Date.now();
let ended = () => {};

/** Whom to tell that the login is over. */
export function onEnd(listener) {
  ended = listener;
}

for (const event of ['pointerdown', 'keydown', 'wheel']) {
  addEventListener(event, () => (touched = Date.now()), { passive: true, capture: true });
}

/** Who we are to the server; needed before anything is changed. */
export async function session(signal) {
  const about = await get('api/session', {}, signal);
  token = about.csrf;
  return about;
}

/** Read something; parameters that are empty are left out. */
export function get(path, query = {}, signal = undefined) {
  const given = Object.entries(query).filter(
    ([, value]) => value !== '' && value !== null && value !== undefined,
  );
  const search = new URLSearchParams(given).toString();
  return send('GET', search ? `${path}?${search}` : path, undefined, signal);
}

/** Change something. */
export const post = (path, body = {}) => send('POST', path, body);
export const patch = (path, body) => send('PATCH', path, body);
export const remove = (path) => send('DELETE', path);

/** Call a method of the HTTP API; its object, or Refused. */
export async function call(method, parameters) {
  const [done, told] = await post(`api/call/${method}`, parameters);
  if (!done) throw new Refused(200, told.error ?? told.msg ?? 'refused', told.code);
  return told;
}

/** A path from parts that may hold anything. */
export const path = (...parts) => parts.map(encodeURIComponent).join('/');

async function send(method, address, body, signal) {
  const headers = { Accept: 'application/json' };
  if (method !== 'GET') headers['X-Hookbox-CSRF'] = token;
  if (Date.now() - touched > IDLE) headers['X-Hookbox-Background'] = '1'; // does not prolong the login
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let answer, told;
  try {
    answer = await fetch(address, { method, headers, signal, body: body && JSON.stringify(body) });
    told = await read(answer);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refused(0, 'Hookbox does not answer. Is it running, and the network up?', 'unreachable');
  }
  if (answer.status === 401) ended();
  if (!answer.ok) throw new Refused(answer.status, reason(answer, told), told?.code ?? told?.error);
  return told;
}

async function read(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The sentence of an answer; `/api/v1` has a word in `error` and the sentence in `message`. */
function reason(answer, told) {
  const text = told?.message ?? told?.error ?? told?.[1]?.msg;
  return typeof text === 'string' ? text : `Hookbox answered ${answer.status} ${answer.statusText}`.trim();
}
