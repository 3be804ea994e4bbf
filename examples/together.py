"""Start the programs of an example together, and end them together; used by the `run.py` of each."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN = 30  # seconds
STOP_WITHIN = 10  # seconds


def read_ports(description):
    """Read the command line, and return the ports of the application and of Hookbox."""
    parser = argparse.ArgumentParser(description=description)
    text = "port of {}, 0 for any (default: {} or the next free one)"
    parser.add_argument("--port", type=int, help=text.format("the application", 8000))
    parser.add_argument("--hookbox-port", type=int, help=text.format("Hookbox", 8001))
    flags = parser.parse_args()
    port = choose_port("--port", flags.port, 8000)
    return port, choose_port("--hookbox-port", flags.hookbox_port, 8001, other=port)


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


def run(programs, environment, ports, welcome):
    """Run programs of our Python until Ctrl-C, or until one of them ends.

    `programs` are arguments by name, `ports` those to wait for before the welcome is printed. Each program is
    in a session of its own, so that Ctrl-C reaches it through us only.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))  # the `finally` below stops all
    environment = complete(environment)
    parts = {}
    try:
        for name, arguments in programs.items():
            command = [sys.executable, *map(str, arguments)]
            parts[name] = subprocess.Popen(command, env=environment, start_new_session=True)
        wait_until_ready(parts, ports)
        print(welcome, flush=True)
        while True:
            stop_if_one_has_died(parts)
            time.sleep(0.2)
    except KeyboardInterrupt:
        print("\nStopping both.")
    finally:
        stop(parts)


def complete(environment):
    """Add what our own environment has, and where Hookbox is, should it not be installed."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": paths, **environment}


def wait_until_ready(parts, ports):
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
    """Stop the last one first: Hookbox still has something to tell the application."""
    for process in reversed(parts.values()):
        process.terminate()
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
