"""Judge Hookbox's WebSocket frames by Autobahn|Testsuite: what `make autobahn` runs.

python tests/autobahn/conformance.py [PATTERN...]

With patterns (`6.4.*`) only those cases run, against the settings of their group. Exit status 0 means that
every verdict is one of those in judge.py, 1 that one is not, 2 that the tools are missing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from judge import GROUPS, Group, Verdict, deviation, table, too_slow  # noqa: E402

TOOLS = ROOT / ".venv-autobahn"
TIMED_TRIES = 3
"""A case with a time limit may have met a busy machine."""


def tools_are_there() -> bool:
    """Whether `make autobahn` has made the tool environment."""
    return (TOOLS / "ported/case/__init__.py").exists() and (TOOLS / "bin/python").exists()


@contextmanager
def echo_server(settings: object) -> Iterator[str]:
    """An echo in a process of its own; gives its URL.

    Raises:
        RuntimeError: its log has an error or a traceback in the end.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HOOKBOX_STORE": ":memory:"}
    command = [sys.executable, str(HERE / "echo_server.py"), json.dumps(settings)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as server:
        try:
            yield f"ws://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            _, log = server.communicate(timeout=10)
    if "Traceback" in log or "ERROR" in log:
        raise RuntimeError(f"the echo server logged:\n{log}")


def put(url: str, patterns: tuple[str, ...] | list[str]) -> list[Verdict]:
    """Put cases to a server; their verdicts.

    Raises:
        RuntimeError: the fuzzing client failed.
    """
    environment = os.environ | {"PYTHONPATH": str(TOOLS / "ported")}
    command = [str(TOOLS / "bin/python"), str(HERE / "fuzzing_client.py"), url, *patterns]
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the fuzzing client failed:\n{done.stderr}")
    return [Verdict(**json.loads(line)) for line in done.stdout.splitlines()]


def run_group(group: Group) -> list[tuple[Verdict, str]]:
    """The verdicts of a group, each with what is wrong with it."""
    judged = []
    with echo_server(dict(group.settings)) as url:
        for verdict in put(url, group.patterns):
            for _ in range(TIMED_TRIES - 1):
                if too_slow(verdict, group):
                    (verdict,) = put(url, (verdict.id,))
            wrong = deviation(verdict, group)
            if not wrong and too_slow(verdict, group):
                wrong = f"took {verdict.seconds} s, may take {group.seconds[verdict.id]} s"
            judged.append((verdict, wrong))
    return judged


def report(group: Group) -> int:
    """Run a group and print what came of it; returns how much was wrong."""
    print(f"\n{group.row}: {group.title}", flush=True)
    judged = run_group(group)
    if not group.codes:
        print("\n".join(table([verdict for verdict, _ in judged])))
    for verdict, wrong in judged:
        if wrong:
            print(f"  WRONG  {verdict.id}: {wrong}")
        elif verdict.id in group.codes:
            print(f"  as it should be  {verdict.id}: refused with code {verdict.code}")
        elif verdict.id in group.seconds:
            print(f"  as it should be  {verdict.id}: took {verdict.seconds} s")
        elif (verdict.behavior, verdict.close) != group.words:
            print(f"  as it should be  {verdict.id}: {verdict.behavior}, code {verdict.code}")
    miscounted = group.count and len(judged) != group.count
    if miscounted:
        print(f"  WRONG  {len(judged)} cases ran instead of {group.count}")
    return sum(bool(wrong) for _, wrong in judged) + bool(miscounted)


def narrowed(group: Group, patterns: list[str]) -> Group | None:
    """The group with only those of its cases that some patterns name; None without any."""
    chosen = tuple(name for name in patterns if any(fnmatchcase(name, own) for own in group.patterns))
    return replace(group, patterns=chosen, count=0) if chosen else None


def main(patterns: list[str]) -> int:
    """Run all groups, or what the patterns name; returns the exit status."""
    if not tools_are_there():
        print(f"*** {TOOLS} is missing: run `make autobahn`, which makes it.", file=sys.stderr)
        return 2
    groups = list(filter(None, (narrowed(group, patterns) for group in GROUPS))) if patterns else GROUPS
    if not groups:
        print(
            f"*** no cases are named like that: {' '.join(patterns)}; try 1.1.1 or '6.4.*'", file=sys.stderr
        )
        return 2
    wrong_ones = sum(map(report, groups))
    print(f"\n{wrong_ones} wrong verdicts." if wrong_ones else "\nEvery verdict is as it should be.")
    return int(bool(wrong_ones))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
