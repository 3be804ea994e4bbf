"""Measures and prints one table: `python -m bench [ROW ...]`, or `make bench ROWS="P1 P7"`.

Results go to bench/results/ as JSON, with every figure the load generators gave.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from bench.machine import describe
from bench.measurements import LoadFailed, Measurements, Sizes
from bench.programs import Missing, Workshop
from bench.rows import ROWS
from bench.table import Row, markdown

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Measure what was asked for; the exit code is 1 when something could not be measured."""
    options = _options()
    about = describe()
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {text}", file=sys.stderr, flush=True)

    failures = []
    rows: list[Row] = []
    try:
        with Workshop() as shop:
            run = Measurements(shop, Sizes(options.share), say)
            for name in options.rows or ROWS:
                try:
                    rows += ROWS[name](run)
                except (LoadFailed, RuntimeError) as failure:
                    failures.append(f"{name} could not be measured: {failure}")
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    say("done")
    print("\n".join(f"* {name}: {text}" for name, text in about.items()), end="\n\n")
    print(markdown(rows))
    for note in [*sorted(run.missing), *failures]:
        print(f"* {note}")
    _keep(options.results, about, rows, run)
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Hookbox beside others.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"any of {' '.join(ROWS)}; default: all")
    parser.add_argument("--share", type=float, default=1.0, help="do only this share of everything")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON")
    options = parser.parse_args()
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown:
        parser.error(f"there is no row {', '.join(unknown)}; there are {' '.join(ROWS)}")
    return options


def _keep(folder: Path, about: dict[str, str], rows: list[Row], run: Measurements) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / time.strftime("%Y%m%d-%H%M%S.json")
    whole = {"about": about, "rows": [asdict(row) for row in rows], "figures": run.made}
    path.write_text(json.dumps(whole, indent=1))
    print(f"\nEvery figure: {path}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
