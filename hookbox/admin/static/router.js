// Where we are: `#/channels/lobby?q=x`, so that each page has an address and the browser's own buttons work.

/** The parts of the address and what is asked, as plain text. */
export function here() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  return { parts: path.split('/').filter(Boolean).map(decoded), query: new URLSearchParams(query) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The address of a page. */
export function address(parts, query = {}) {
  const given = Object.entries(query).filter(
    ([, value]) => value !== '' && value !== null && value !== undefined,
  );
  const search = new URLSearchParams(given).toString();
  return `#/${[parts].flat().map(encodeURIComponent).join('/')}${search ? `?${search}` : ''}`;
}

/** Change what is asked in the address, without a new entry in the browser's history. */
export function refine(query) {
  const next = address(here().parts, query);
  if (next !== location.hash) history.replaceState(null, '', next);
}

/** Go somewhere. */
export function go(parts, query) {
  location.hash = address(parts, query);
}
