"""The one entry point of `hookbox` and `python -m hookbox`.

The standard library is patched before anything else is imported, so that no module holds on to
a socket, lock or queue that blocks. Only asking the command about itself, and calling a server, go without.
"""

import gc
import sys

if not (
    {"-h", "--help", "--version", "--check-config"} & set(sys.argv[1:])
    or {"password", "publish", "dispatch", "deliveries", "check", "doctor"} & set(sys.argv[1:2])
):
    from gevent import events, monkey

    # gevent would search every installed package for plugins at each of its 25 steps, half of its time
    search = events.notify_and_call_entry_points  # type: ignore[attr-defined]
    events.notify_and_call_entry_points = events.notify  # type: ignore[attr-defined]
    monkey.patch_all()
    events.notify_and_call_entry_points = search  # type: ignore[attr-defined]
    gc.disable()  # until the server runs: what is imported is not garbage

from hookbox.cli import main

if __name__ == "__main__":
    sys.exit(main())
