"""The long test under random faults, for some seconds, so that it does not rot; `make soak` is the whole of it."""

import re
import subprocess
import sys
from pathlib import Path

from hookbox.testing import DEADLINE

SOAK = Path(__file__).parents[1] / "soak.py"


def test_F36_under_load_and_random_faults_the_invariants_hold():
    command = [sys.executable, SOAK, "--minutes=0.3", "--clients=24", "--round=12", "--fault=2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE * 15)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"all invariants held; seed \d+\n", done.stdout)
    received = int(re.search(r"(\d+)  PUBLISH\n", done.stdout)[1])
    assert received > 100, done.stdout
