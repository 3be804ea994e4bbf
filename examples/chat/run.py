"""Start the chat and its Hookbox together: `python run.py`, then open the address that it prints."""

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
READY_WITHIN = 20  # seconds
STOP_WITHIN = 10  # seconds


def main():
    flags = read_flags()
    port = choose_port("--port", flags.port, 8000)
    hookbox_port = choose_port("--hookbox-port", flags.hookbox_port, 8001, other=port)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))  # the `finally` below stops both programs
    parts = {}
    try:
        store = f"--store={HERE / f'hookbox-{hookbox_port}.sqlite3'}"
        environment = make_environment(port, hookbox_port)
        parts["The chat"] = start([HERE / "app.py"], environment)
        parts["Hookbox"] = start(
            ["-m", "hookbox", f"--port={hookbox_port}", f"--cbport={port}", "--datetime-utc", store],
            environment,
        )
        wait_until_ready(parts, port, hookbox_port)
        print(f"\n  Chat     http://localhost:{port}   <- open this in two browsers")
        print(f"  Hookbox  http://localhost:{hookbox_port}\n\n  Ctrl-C stops both.\n", flush=True)
        while True:
            stop_if_one_has_died(parts)
            time.sleep(0.2)
    except KeyboardInterrupt:
        print("\nStopping both.")
    finally:
        stop(parts)


def read_flags():
    parser = argparse.ArgumentParser(description=__doc__)
    text = "port of {}, 0 for any (default: {} or the next free one)"
    parser.add_argument("--port", type=int, help=text.format("the chat", 8000))
    parser.add_argument("--hookbox-port", type=int, help=text.format("Hookbox", 8001))
    return parser.parse_args()


def choose_port(flag, wanted, default, other=None):
    """Take the port that was asked for, if it is free, else the first free one from the default on."""
    if wanted == 0:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            return probe.getsockname()[1]
    candidates = [wanted] if wanted else range(default, default + 100)
    for port in candidates:
        if port != other and is_free(port):
            return port
    sys.exit(f"Port {wanted or default} is in use. Stop what uses it, or choose another with {flag}.")


def is_free(port):
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return not answers("localhost", port)  # which may also be ::1


def answers(host, port):
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def make_environment(port, hookbox_port):
    """Return what both programs are told; the secrets are here and not in flags, which `ps` would show."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")]),
        "CHAT_PORT": str(port),
        "HOOKBOX_PORT": str(hookbox_port),
        "HOOKBOX_WEBHOOK_SECRET": secrets.token_urlsafe(24),
        "HOOKBOX_API_SECURITY_TOKEN": secrets.token_urlsafe(24),
    }


def start(arguments, environment):
    """Start a program of our Python in a session of its own, so that Ctrl-C reaches it through us only."""
    return subprocess.Popen([sys.executable, *arguments], env=environment, start_new_session=True)


def wait_until_ready(parts, *ports):
    deadline = time.monotonic() + READY_WITHIN
    while not all(answers("127.0.0.1", port) for port in ports):
        stop_if_one_has_died(parts)
        if time.monotonic() > deadline:
            sys.exit(f"Not ready after {READY_WITHIN} seconds; giving up.")
        time.sleep(0.05)


def stop_if_one_has_died(parts):
    for name, process in parts.items():
        if process.poll() is not None:
            sys.exit(f"{name} has ended by itself (exit status {process.returncode}), so we stop.")


def stop(parts):
    for process in parts.values():
        process.terminate()
    for process in parts.values():
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()


if __name__ == "__main__":
    main()
