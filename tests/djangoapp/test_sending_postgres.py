"""Commits, outbox and flushers on PostgreSQL, as everywhere else they are tested on SQLite."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from postgres import cluster, missing

HERE = Path(__file__).parent


@pytest.mark.skipif(bool(os.environ.get("HOOKBOX_TEST_POSTGRES")), reason="it runs on PostgreSQL already")
def test_what_is_promised_about_commits_holds_on_postgresql():
    if absent := missing():
        pytest.skip(f"NOT TESTED: PostgreSQL is missing ({absent})")
    with cluster() as socket:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        tests = subprocess.run(
            [*command, "--create-db", str(HERE / "test_sending_commits.py")],
            env=_environ() | {"HOOKBOX_TEST_POSTGRES": socket},
            cwd=HERE.parents[1],
            capture_output=True,
            text=True,
            timeout=240,
        )
    assert tests.returncode == 0, tests.stdout[-20_000:] + tests.stderr[-5_000:]
    assert "skipped" not in tests.stdout


def _environ():
    ours = ("PYTEST_", "DJANGO_")  # of this run of pytest, not of the other one
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
