"""The benchmark still measures: everything in tiny sizes, nobody looks at the figures."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None, reason="there is no C compiler (cc), the benchmark is not tried"
)


@pytest.mark.parametrize("row", ["P1", "P7", "P8", "P9", "P10"])
def test_the_benchmark_measures_a_row_and_tells_of_it(row, tmp_path):
    done = run("bench", row, "--share", "0.004", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"| {row} " in done.stdout
    (kept,) = tmp_path.glob("*.json")
    assert json.loads(kept.read_text())["rows"][0]["name"] == row


def test_the_capacity_run_loses_nothing_and_says_so():
    done = run("bench.capacity", "--minutes", "0.03", "--websockets", "20", "--comet", "5")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("lost: 0 of") == 2


def test_a_row_that_does_not_exist_is_named():
    done = run("bench", "P99")
    assert done.returncode == 2
    assert "P99" in done.stderr


def run(module, *arguments):
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
