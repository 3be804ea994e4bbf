#!/usr/bin/env bash
# CPU time per webhook, by several roads side by side; see webhooks.py. The application is yes.c.
#
#   webhooks.sh [PYTHON]
set -eu
here=$(cd "$(dirname "$0")" && pwd); work=$(mktemp -d); trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
cc -O2 -o "$work/yes" "$here/yes.c"
taskset -c 1 "$work/yes" 9101 >/dev/null &
for _ in $(seq 50); do (exec 3<>/dev/tcp/127.0.0.1/9101) 2>/dev/null && break; sleep 0.1; done
taskset -c 0 "${1:-python3}" "$here/webhooks.py" 127.0.0.1:9101
