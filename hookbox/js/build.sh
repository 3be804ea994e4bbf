#!/bin/sh
# Makes hookbox.mjs and hookbox.min.js from hookbox.js. Needs node and npm; what it makes is checked in.
set -eu
cd "$(dirname "$0")"

npx --yes --loglevel=error acorn@8.19.0 --ecma2018 --silent hookbox.js

{
  sed '/^if (typeof module/d' hookbox.js
  echo 'export const connect = hookbox.connect;'
  echo 'export default hookbox;'
} > hookbox.mjs

sum=$(sha256sum hookbox.js | cut -c1-16)
npx --yes --loglevel=error terser@5.51.2 hookbox.js --ecma 2018 --compress passes=3 --mangle --mangle-props 'regex=/^_/' \
  --format "preamble='/*! Hookbox client, MIT licence. Made from hookbox.js $sum */'" --output hookbox.min.js

echo "hookbox.min.js: $(wc -c < hookbox.min.js) bytes, $(gzip -9 -c hookbox.min.js | wc -c) gzipped"
