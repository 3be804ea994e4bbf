"""A server that was forked is what an executed one is: its process, its descriptors, its signals, its end."""

import re
import signal
from pathlib import Path

import pytest
from faults import Watched

from hookbox.testing import DEADLINE, HookboxProcess


@pytest.fixture(params=["forked", "executed"])
def way(request, starts):
    """Both ways to start servers; says which it is."""
    if request.param == "forked":
        yield "Forked"
        return
    with starts.cold():
        yield "Popen"


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9), (signal.SIGABRT, -6)],
)
def test_a_signal_ends_it(way, number, status):
    with HookboxProcess() as hookbox:
        assert type(hookbox.process).__name__ == way
        assert hookbox.process.poll() is None
        hookbox.process.send_signal(number)
        assert (
            hookbox.process.wait(DEADLINE) == hookbox.process.poll() == hookbox.process.returncode == status
        )
        hookbox.process.kill()  # as often as one likes


def test_what_it_says_and_how_it_ends_are_seen_when_it_cannot_start(way):
    with pytest.raises(
        RuntimeError, match=r"ended with status 2; its log:\nhookbox: .*no_such_flag|no-such-flag"
    ):
        HookboxProcess(no_such_flag=1)


def test_its_environment_is_that_of_its_start(way, monkeypatch):
    monkeypatch.setenv("HOOKBOX_MAX_PRESENCE", "0")
    with pytest.raises(RuntimeError, match="HOOKBOX_MAX_PRESENCE"):
        HookboxProcess()


def test_its_folder_is_that_of_its_start(way, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with HookboxProcess(store="here.db"):
        assert (tmp_path / "here.db").exists()


def test_what_python_reads_when_it_starts_it_reads(monkeypatch):
    monkeypatch.setenv("PYTHONDEVMODE", "1")
    with HookboxProcess() as hookbox:
        assert type(hookbox.process).__name__ == "Popen"


def test_the_kernel_tells_the_same_of_both(starts):
    with HookboxProcess() as forked, starts.cold(), HookboxProcess() as executed:
        assert _seen(forked) == _seen(executed)


def test_no_two_draw_the_same():
    code = "from hookbox.delivery import ids; result = [ids._KEY.hex(), ids.ulid(0)]"
    with Watched() as one, Watched() as other:
        assert type(one.process).__name__ == "Forked"
        assert not {*one.inside(code)} & {*other.inside(code)}


def _seen(hookbox):
    """Its signals, descriptors and folder, as the kernel has them."""
    proc = Path(f"/proc/{hookbox.process.pid}")
    signals = dict(
        re.findall(r"^(Sig(?!Q)\w+|Threads|Umask):\s*(\S+)", (proc / "status").read_text(), re.MULTILINE)
    )
    links = {
        int(fd.name): str(fd.readlink()).replace(hookbox._log.name, "its log")
        for fd in (proc / "fd").iterdir()
    }
    files = {number: re.sub(r"\d+", "", link) for number, link in links.items()}
    return signals, files, (proc / "cwd").readlink()
