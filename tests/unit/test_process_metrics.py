"""What the process says of itself is what the system says."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector

from hookbox.metrics import process as told

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")


def samples(families):
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_it_says_the_same_as_the_library_under_the_same_names():
    ours, theirs = samples(told.process()), samples(ProcessCollector(registry=CollectorRegistry()).collect())
    assert ours.keys() == theirs.keys()
    assert ours["process_max_fds"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert ours["process_start_time_seconds"] == pytest.approx(theirs["process_start_time_seconds"], abs=1)
    for name in ("process_resident_memory_bytes", "process_virtual_memory_bytes", "process_cpu_seconds_total"):
        assert ours[name] == pytest.approx(theirs[name], rel=0.2)


@pytest.mark.parametrize("system", ["knows", "does not know"])
def test_open_files_are_counted_whether_the_system_knows_the_number_or_not(system, monkeypatch):
    if system == "does not know":  # before Linux 6.2
        status = Path.stat
        unknown = lambda path: os.stat_result((*status(path)[:6], 0, *status(path)[7:]))  # noqa: E731
        monkeypatch.setattr(Path, "stat", unknown)
    elif not Path("/proc/self/fd").stat().st_size:
        pytest.skip("Linux before 6.2")
    before = told.open_files()
    files = [os.open("/dev/null", os.O_RDONLY) for _ in range(10)]
    try:
        assert told.open_files() == before + 10
    finally:
        for file in files:
            os.close(file)
