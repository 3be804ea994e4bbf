#!/usr/bin/env bash
# Fan-out side by side in one run: the floor (limit.c), nginx+nchan, and Hookbox.
#
#   fanout.sh [HOOKBOX-COMMAND ...]      default: hookbox
#
# The server under test has processor 0, the load processor 1. Prints one JSON
# line per scenario and server, then the ratios. Needs cc, taskset, and for the
# nchan rows: apt-get install nginx-light libnginx-mod-nchan.
set -eu
here=$(cd "$(dirname "$0")" && pwd); work=$(mktemp -d); trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
for p in rtload limit yes; do cc -O2 -o "$work/$p" "$here/$p.c"; done
[ $# -gt 0 ] || set -- hookbox
N=${N:-1000} C=${C:-400} S=${S:-80}
load() { taskset -c 1 "$work/rtload" -Q -n "$N" -c "$C" -s "$S" "$@" || true; }
report() { sed "s/^{/{\"server\": \"$1\", \"publishers\": $2, /" | tee -a "$work/all"; }

taskset -c 0 "$work/limit" 9002 >"$work/pid" & sleep 0.5
load -p 9002 -u /ws -W hello -P /pub -b %m -Z "$(cat "$work/pid")" | report limit 1

if [ -e /usr/lib/nginx/modules/ngx_nchan_module.so ]; then
  cp "$here/nchan.conf" "$work/"; (cd "$work" && exec taskset -c 0 nginx -p "$work" -c "$work/nchan.conf" 2>/dev/null) & sleep 1
  worker=$(pgrep -P "$(cat "$work/nchan.pid")" | head -1)
  for j in 1 8 32; do load -p 9003 -u /sub -P /pub -b %m -j $j -Z "$worker" | report nchan $j; done
  kill "$(cat "$work/nchan.pid")"
fi

taskset -c 1 "$work/yes" 9101 >/dev/null &
taskset -c 0 "$@" -i 127.0.0.1 -p 9004 --cbhost 127.0.0.1 --cbport 9101 -r tok -L WARNING >"$work/log" 2>&1 & server=$!
for _ in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/9004) 2>/dev/null && break; sleep 0.1; done
for j in 1 8 32; do
  load -p 9004 -u /ws -w 100 -S '[1,"CONNECT",{"cookie_string":"a=%i","payload":"null"}]\r\n' -W CONNECTED \
    -S '[2,"SUBSCRIBE",{"channel_name":"c"}]\r\n' -W '"SUBSCRIBE"' -P /web/publish -j $j -Z "$server" \
    -h 'Content-Type: application/x-www-form-urlencoded\r\n' -b 'security_token=tok&channel_name=c&payload=%22%m%22' -t 120 | report hookbox $j
  sleep 1
done
kill "$server"; wait "$server" 2>/dev/null || true
python3 - "$work/all" <<'P'
import json, sys
rows = {(r["server"], r["publishers"]): r for r in map(json.loads, open(sys.argv[1]))}
base = rows["limit", 1]
for (name, j), r in rows.items():
    nchan = rows.get(("nchan", j))
    print(f"{name:8} {j:3} publishers  {r['cpu_us_per_delivery']:7.2f} us/delivery  {r['deliveries_per_s']:9.0f}/s"
          f"  {r['cpu_us_per_delivery'] / base['cpu_us_per_delivery']:5.2f} x limit"
          + (f"  {r['deliveries_per_s'] / nchan['deliveries_per_s']:5.2f} x nchan" if nchan and nchan["deliveries_per_s"] else "")
          + f"  {r['kb_per_conn']:6.1f} KB/conn  lost {r['expected'] - r['received']}")
P
