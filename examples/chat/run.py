"""Start the chat and its Hookbox together: `python run.py`, then open the address that it prints."""

import secrets
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import together  # noqa: E402  one folder up, for all examples

WELCOME = """
  Chat     http://localhost:{}   <- open this in two browsers
  Hookbox  http://localhost:{}

  Ctrl-C stops both.
"""


def main():
    port, hookbox_port = together.read_ports(__doc__)
    store = f"--store={HERE / f'hookbox-{hookbox_port}.sqlite3'}"
    hookbox = ["-m", "hookbox", f"--port={hookbox_port}", f"--cbport={port}", "--datetime-utc", store]
    environment = {  # what both are told; the secrets are here and not in flags, which `ps` would show
        "CHAT_PORT": str(port),
        "HOOKBOX_PORT": str(hookbox_port),
        "HOOKBOX_WEBHOOK_SECRET": secrets.token_urlsafe(24),
        "HOOKBOX_API_SECURITY_TOKEN": secrets.token_urlsafe(24),
    }
    programs = {"The chat": [HERE / "app.py"], "Hookbox": hookbox}
    together.run(programs, environment, [port, hookbox_port], WELCOME.format(port, hookbox_port))


if __name__ == "__main__":
    main()
