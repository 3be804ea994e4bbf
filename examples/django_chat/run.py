"""Start the project and its Hookbox together: `python run.py`, then open the address that it prints."""

import secrets
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import together  # noqa: E402  one folder up, for all examples

MANAGE = HERE / "manage.py"
WELCOME = """
  Commons  http://localhost:{port}/         <- open this in two browsers
  Admin    http://localhost:{port}/admin/   <- make an announcement or a room, and watch the open pages
  Hookbox  http://localhost:{hookbox_port}/

  Log in as ada (who may use the admin pages), grace or alan; the password is demo.
  Ctrl-C stops both.
"""


def main():
    port, hookbox_port = together.read_ports(__doc__)
    environment = {
        "CHAT_PORT": str(port),
        "HOOKBOX_PORT": str(hookbox_port),
        "HOOKBOX_WEBHOOK_SECRET": secrets.token_urlsafe(24),
        "HOOKBOX_API_SECURITY_TOKEN": secrets.token_urlsafe(24),
    }
    subprocess.run([sys.executable, MANAGE, "demo"], env=together.complete(environment), check=True)
    programs = {
        "Django": [MANAGE, "runserver", "--noreload", port],
        "Hookbox": [MANAGE, "runhookbox"],
    }
    welcome = WELCOME.format(port=port, hookbox_port=hookbox_port)
    together.run(programs, environment, [port, hookbox_port], welcome)


if __name__ == "__main__":
    main()
