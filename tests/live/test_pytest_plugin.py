"""The pytest plugin as an author of an application uses it, in a pytest of its own; and the page about it."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hookbox.testing import DEADLINE, ApiRefused, HookboxProcess, ScriptedApp

PAGE = Path(__file__).parents[2] / "docs/testing.md"


@pytest.fixture
def run_pytest(tmp_path):
    """Runs a test module in a pytest that knows of the plugin only; returns its status and what it said."""

    def run(code, *arguments, status=0):
        (tmp_path / "test_it.py").write_text(textwrap.dedent(code))
        (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
        command = [sys.executable, "-m", "pytest", "-p", "hookbox.testing.plugin", *arguments]
        environ = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=DEADLINE * 6
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    return run


def test_its_fixtures_are_a_hookbox_and_the_application_it_asks(run_pytest):
    said = run_pytest(
        """
        def test_refused(hookbox, hookbox_app):
            hookbox_app.refuse("subscribe", "members only")
            ann = hookbox.connect("ann")
            ann.send("SUBSCRIBE", channel_name="lobby")
            assert ann.expect("ERROR")["msg"] == "members only"

        def test_nothing_is_left_of_another_test(hookbox, hookbox_app):
            assert hookbox_app.asked == []
            hookbox.connect("ann").subscribe("lobby")

        def test_flags(hookbox_server, hookbox_app):
            for server in (hookbox_server(cbpath="/one"), hookbox_server(leave_grace=0)):
                server.connect("ann")
            assert len(hookbox_app.questions("connect")) == 2

        def test_own_application(hookbox_server):
            from hookbox.testing import ScriptedApp
            mine = ScriptedApp()
            hookbox_server(cbport=mine.port).connect("ann")
            assert len(mine.questions("connect")) == 1
            mine.stop()
        """
    )
    assert "4 passed" in said


def test_its_servers_end_with_their_tests(run_pytest):
    said = run_pytest(
        """
        seen = []

        def test_one(hookbox, hookbox_server):
            seen.extend([hookbox.process, hookbox_server().process])

        def test_that_fails(hookbox):
            seen.append(hookbox.process)
            raise AssertionError

        def test_after():
            assert [process.poll() for process in seen] == [-9, -9, -9]
        """,
        status=1,
    )
    assert "1 failed, 2 passed" in said


def test_who_does_not_use_it_pays_nothing_and_is_not_patched(run_pytest):
    run_pytest(
        """
        import sys

        def test_nothing_was_imported():
            ours = {name for name in sys.modules if name.split(".")[0] == "hookbox"}
            assert ours == {"hookbox", "hookbox.testing", "hookbox.testing.plugin"}
            assert not {"gevent", "websockets", "asyncio"} & set(sys.modules)
        """
    )


def test_nothing_is_patched_for_who_uses_it(run_pytest):
    run_pytest(
        """
        import sys

        def test_it(hookbox):
            hookbox.connect("ann")
            assert "gevent" not in sys.modules
        """
    )


def test_without_websockets_it_says_what_to_install(run_pytest):
    said = run_pytest(
        """
        import sys

        def test_it(hookbox):
            sys.modules["websockets.exceptions"] = None
            hookbox.api("get_server_info")
            hookbox.connect("ann")
        """,
        status=1,
    )
    assert "the client of hookbox.testing needs the package `websockets`: pip install" in said


def examples():
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("example", [pytest.param(code, id=str(n)) for n, code in enumerate(examples())])
def test_the_examples_of_the_page_pass(run_pytest, example):
    said = run_pytest(example)
    assert re.search(r"\d+ passed", said)


def test_the_page_has_examples_of_everything_that_is_offered():
    from hookbox import testing

    text = PAGE.read_text()
    for name in testing.__all__:
        assert name in text, f"docs/testing.md does not mention {name}"


# the process that the fixtures start


def test_a_hookbox_that_does_not_start_says_why():
    with pytest.raises(RuntimeError, match=r"(?s)ended with status 2; its log:.*--no-such-flag"):
        HookboxProcess(no_such_flag=1)


def test_it_must_be_clear_who_is_asked():
    app = ScriptedApp()
    with pytest.raises(ValueError, match="who is to be asked"):
        HookboxProcess(app, cbport=1)
    app.stop()
    with HookboxProcess(cbport=1) as server, pytest.raises(RuntimeError, match="application of yours"):
        server.app.forget()


def test_another_command_may_be_run():
    command = [sys.executable, "-c", "import sys; sys.exit('what I was given: ' + ' '.join(sys.argv))"]
    with pytest.raises(RuntimeError, match="what I was given: .*--leave-grace 0.5"):
        HookboxProcess(command=command, leave_grace=0.5)


def test_an_ended_server_is_told_from_one_that_refuses():
    with HookboxProcess() as server:
        with pytest.raises(ApiRefused):
            server.api("get_channel_info", channel_name="none")
        server.kill()
        with pytest.raises(RuntimeError, match="the server has ended"):
            server.api("get_server_info")
