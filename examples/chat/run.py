"""Start the chat and its Hookbox together: `python run.py`, then open the address that it prints."""

import os
import secrets
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import together  # noqa: E402  one folder up, for all examples

WELCOME = """
  Chat     http://localhost:{}   <- open this in two browsers
  Hookbox  http://localhost:{}
  Console  http://localhost:{}/admin/   password: {}

  Ctrl-C stops both.
"""


def main():
    port, hookbox_port = together.read_ports(__doc__)
    store = f"--store={HERE / f'hookbox-{hookbox_port}.sqlite3'}"
    hookbox = ["-m", "hookbox", f"--port={hookbox_port}", f"--cbport={port}", "--datetime-utc", store]
    password = os.environ.get("HOOKBOX_ADMIN_PASSWORD") or secrets.token_urlsafe(9)
    environment = {  # what both are told; the secrets are here and not in flags, which `ps` would show
        "CHAT_PORT": str(port),
        "HOOKBOX_PORT": str(hookbox_port),
        "HOOKBOX_WEBHOOK_SECRET": secrets.token_urlsafe(24),
        "HOOKBOX_API_SECURITY_TOKEN": secrets.token_urlsafe(24),
        "HOOKBOX_ADMIN_PASSWORD": password,
    }
    programs = {"The chat": [HERE / "app.py"], "Hookbox": hookbox}
    welcome = WELCOME.format(port, hookbox_port, hookbox_port, password)
    together.run(programs, environment, [port, hookbox_port], welcome)


if __name__ == "__main__":
    main()
