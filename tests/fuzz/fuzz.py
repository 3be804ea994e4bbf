"""Throw damaged input at every parser and at a running server: what `make fuzz` runs.

python tests/fuzz/fuzz.py [--count 200000] [--seed 1] [TARGET...]
python tests/fuzz/fuzz.py --again SEED NUMBER TARGET       one input of such a run once more
python tests/fuzz/fuzz.py --input FILE TARGET              an input from a file

Targets are frames, requests, lines, comet, answers, hub (parsers, in this process and one more) and `server`, to
which a sixty-fourth of as many are sent over sockets. The same seed makes the same inputs. Exit status 1 means
that something came of an input that must not have; such inputs are written to tests/fuzz/finds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(path) for path in (HERE, ROOT, ROOT / "tests", ROOT / "tests/unit", ROOT / "tests/live")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))

import on_sockets  # noqa: E402
from engine import Find, Result, check, make, run  # noqa: E402
from targets import TARGETS  # noqa: E402

FINDS = HERE / "finds"
PROCESSES = 2
PORTION = 1000
SOCKETS_SHARE = 64
MOST_SHOWN = 3000
AGAIN_TRIES = 200
"""How often an input from a file is put: each time cut in other places, with other limits."""


def main(arguments: list[str]) -> int:
    """Returns the exit status."""
    given = read_arguments(arguments)
    if given.again or given.input:
        return put_again(given)
    print(f"seed {given.seed}, {given.count} inputs for each of: {' '.join(given.targets)}", flush=True)
    results = list(run_parsers([name for name in given.targets if name != "server"], given.seed, given.count))
    if "server" in given.targets:
        results.append(on_sockets.run(given.seed, max(50, given.count // SOCKETS_SHARE), show_progress))
        for find in results[-1].finds:
            keep(find)
    show_progress(None)
    for result in results:
        show(result)
    finds = sum(len(result.finds) for result in results)
    print(f"\n{finds} finds, see above." if finds else "\nNothing found.")
    return int(bool(finds))


def read_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200_000, help="inputs for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", nargs=2, type=int, metavar=("SEED", "NUMBER"), help="one input of a run")
    parser.add_argument("--input", type=Path, help="an input from a file")
    parser.add_argument("targets", nargs="*", help=f"of {' '.join(TARGETS)} server; all when none is given")
    given = parser.parse_args(arguments)
    given.targets = given.targets or [*TARGETS, "server"]
    unknown = set(given.targets) - {*TARGETS, "server"}
    if unknown or ((given.again or given.input) and len(given.targets) != 1):
        parser.error(f"name targets of: {' '.join(TARGETS)} server; just one for a single input")
    return given


def run_parsers(names: list[str], seed: int, count: int) -> Iterator[Result]:
    """One result for each target; two processes take portions of all targets in turn."""
    starts = range(0, count, PORTION)
    portions = [(name, seed, range(start, min(count, start + PORTION))) for start in starts for name in names]
    whole = {name: Result(name) for name in names}
    # a fresh process each: what the parsers hold must not come from here
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        for part in pool.imap_unordered(_run_portion, portions):
            whole[part.target].add(part)
            for find in part.finds:
                keep(find)
            show_progress(whole[part.target])
    yield from whole.values()


def _run_portion(portion: tuple[str, int, range]) -> Result:
    return run(*portion)


_shown_at = 0.0


def show_progress(result: Result | None) -> None:
    """A line that the next one replaces on a terminal; elsewhere one now and then."""
    global _shown_at
    pause = 0.2 if sys.stdout.isatty() else 15
    if result is None:
        print("\r" + " " * 60 + "\r" if sys.stdout.isatty() else "", end="", flush=True)
    elif time.monotonic() - _shown_at > pause:
        _shown_at = time.monotonic()
        end = "\r" if sys.stdout.isatty() else "\n"
        print(f"  {result.target:<9}{result.count:>8} inputs, {len(result.finds)} finds ", end=end, flush=True)


def show(result: Result) -> None:
    """What came of a target's inputs."""
    each = result.seconds / max(result.count, 1) * 1e6
    print(f"\n{result.target}: {result.count} inputs in {result.seconds:.0f} s of one process, {each:.0f} us each")
    print(f"  slowest {result.slowest * 1000:.0f} ms; the process grew by {result.grown / 2**20:.1f} MiB")
    for outcome, count in result.outcomes.most_common(8):
        print(f"  {count:>8}  {outcome}")
    others = len(result.outcomes) - 8
    if others > 0:
        print(f"  and {others} other outcomes")


def keep(find: Find) -> None:
    """Write a find to a file, and say how to see it again."""
    FINDS.mkdir(exist_ok=True)
    path = FINDS / f"{find.target}-{find.seed}-{find.number}"
    path.write_bytes(find.data)
    path.with_name(path.name + ".txt").write_text(find.trace)
    print(f"\nFOUND {path.relative_to(ROOT)}\n{find.trace.strip()[:MOST_SHOWN]}\n  {find.data[:200]!r}")
    kind = find.target.removeprefix("server-")
    if kind in TARGETS:
        print(f"  again, in this process: python tests/fuzz/fuzz.py --again {find.seed} {find.number} {kind}")
    if kind != find.target:
        print(f"  again, with all before it: python tests/fuzz/fuzz.py --seed {find.seed} server")


def put_again(given: argparse.Namespace) -> int:
    """Put one input once more; returns the exit status."""
    (name,) = given.targets
    if name == "server":
        sys.exit("inputs for the server are taken from the other targets: name one of those")
    target, result = TARGETS[name](), Result(name)
    if given.again:
        data, chance = make(target, *given.again)
        wrong = check(target, data, chance, result)
    else:
        data = given.input.read_bytes()
        wrong = next(filter(None, (check(target, data, Random(n), result) for n in range(AGAIN_TRIES))), "")
    print(f"{data!r}\n{wrong or list(result.outcomes)}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
