"""The page about faults names tests and settings that exist."""

import re
from pathlib import Path

import pytest

from hookbox.settings import ABOUT

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"(?m)^\| F\d.*", PAGE)]
NAMED = re.findall(r"(\w+\.py)::(\w+)", PAGE)


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED)))
def test_each_test_that_is_named_exists(file, test):
    (path,) = ROOT.glob(f"tests/*/{file}")
    assert f"\ndef {test}(" in path.read_text()


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_each_line_names_tests_and_settings_that_exist(row):
    assert len(row) == 5
    assert "::" in row[4], "each line is shown by a test"
    assert set(re.findall(r"`(\w+)`", row[3])) <= ABOUT.keys()


def test_every_fault_of_this_process_has_its_line():
    wanted = {*range(1, 24), *range(29, 36)}
    assert sorted(int(row[0].removeprefix("F")) for row in ROWS) == sorted(wanted)
