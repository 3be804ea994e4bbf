"""The commands that call a server, as far as they need none: arguments, targets, tables, progress."""

import argparse
import io
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox import cli
from hookbox.settings import Settings
from hookbox.tool import COMMANDS, tables
from hookbox.tool.arguments import make_parser
from hookbox.tool.command import run
from hookbox.tool.problems import ToolError, Unreachable
from hookbox.tool.progress import Progress, wait_for
from hookbox.tool.sending import _payload
from hookbox.tool.target import find_target, url_of


def asked(*words, **environ):
    return find_target(make_parser().parse_args(["publish", "news", *words]), environ)


def test_nothing_of_it_imports_gevent_or_patches_anything_Z1():
    code = (
        "import sys, socket; before = socket.socket; import hookbox.tool.command, hookbox.cli; "
        "assert socket.socket is before; print([name for name in sys.modules if 'gevent' in name])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# which server


def test_the_server_is_named_by_flag_environment_or_settings(tmp_path):
    file = tmp_path / "hookbox.toml"
    file.write_text('port = 9000\ninterface = "0.0.0.0"\napi_security_token = ["", "t1"]\n')
    assert asked("--server", "https://a.example/", "--token", "x").url == "https://a.example"
    both = asked("--config", str(file))
    assert (both.url, both.token, both.found) == ("http://127.0.0.1:9000", "t1", "the settings")
    named = asked("--config", str(file), HOOKBOX_SERVER="http://b.example:81/base")
    assert (named.url, named.token, named.found) == ("http://b.example:81/base", "t1", "HOOKBOX_SERVER")
    assert asked(HOOKBOX_CONFIG=str(file), HOOKBOX_PORT="9001").url == "http://127.0.0.1:9001"
    assert asked(HOOKBOX_API_SECURITY_TOKEN="word").token == "word"
    token = tmp_path / "token"
    token.write_text("from file\n")
    assert asked("--token-file", str(token)).token == "from file"


@pytest.mark.parametrize(
    ("about", "url"),
    [
        ({}, "http://127.0.0.1:8001"),
        ({"interface": "::", "port": 1}, "http://[::1]:1"),
        ({"interface": "192.0.2.7"}, "http://192.0.2.7:8001"),
        ({"web_api_port": 9}, "http://127.0.0.1:9"),
        ({"web_api_interface": "192.0.2.7"}, "http://192.0.2.7:8001"),
        ({"certfile": "a", "keyfile": "b"}, "https://127.0.0.1:8001"),
    ],
)
def test_the_settings_say_where_the_api_is(about, url):
    assert url_of(Settings(**about)) == url


@pytest.mark.parametrize(
    "words",
    [
        ["--server", "localhost:8001"], ["--server", "ftp://a/"], ["--server", "http://"], ["--server", "http://a:99999/"],
        ["--server", "http://a/?b"], ["--config", "/nonexistent.toml"], ["--token-file", "/nonexistent"],
    ],
)  # fmt: skip
def test_what_names_no_server_ends_with_2(words, capsys):
    assert run(["publish", "news", *words], {}) == 2
    assert capsys.readouterr().err.startswith("hookbox: ")


@pytest.mark.parametrize("about", [{"interface": "unix:/tmp/x"}, {"port": 0}])
def test_settings_that_do_not_say_where_say_so(about):
    with pytest.raises(ToolError, match="give --server URL"):
        url_of(Settings(**about))


def test_a_server_is_not_troubled_by_the_variable_of_its_callers():
    from hookbox.sources import Sources

    assert Sources({}, {"HOOKBOX_SERVER": "http://a.example"}).read().warnings == Sources({}, {}).read().warnings


# arguments


@pytest.mark.parametrize(
    "words",
    [
        ["publish"], ["publish", "news", "1", "2"], ["publish", "news", "--nonsense"], ["dispatch"], ["deliveries"],
        ["deliveries", "nonsense"], ["deliveries", "show"], ["deliveries", "list", "--limit", "0"],
        ["deliveries", "retry"], ["deliveries", "retry", "dlv_1", "--since", "1h"], ["deliveries", "retry", "--tag", "a"],
        ["deliveries", "retry", "dlv_1", "--rate", "5"], ["deliveries", "replay", "news"],
        ["dispatch", "http://a.example/", "--header", "X"], ["dispatch", "http://a.example/", "--data", "@/nonexistent"],
        ["dispatch", "http://a.example/", "--delay", "soon"],
    ],
)  # fmt: skip
def test_wrong_arguments_end_with_2_and_one_line(words, capsys):
    assert run(words, {"HOOKBOX_SERVER": "http://127.0.0.1:9"}) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("hookbox: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [["publish"], ["dispatch"], ["deliveries"], *(["deliveries", a] for a in ("list", "show", "retry", "replay", "job"))],
)
def test_each_command_has_help(words, capsys):
    assert cli.main([*words, "--help"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "usage: hookbox " + " ".join(words) in said.out
    if len(words) == 1:
        assert "exit codes: 0 done" in said.out


@pytest.mark.parametrize("word", COMMANDS)
def test_the_commands_come_first_and_are_listed(word, capsys):
    assert cli.main(["-p", "1", word]) == 2
    assert f"{word} has to come first: hookbox {word}" in capsys.readouterr().err
    assert cli.main(["--help"]) == 0
    assert f"  {word} " in capsys.readouterr().out
    assert cli.main([word[:-1] + "z"]) == 2
    assert f"did you mean {word}?" in capsys.readouterr().err


def test_no_server_ends_with_3_and_says_where_the_address_is_from(capsys):
    assert run(["deliveries", "list"], {"HOOKBOX_PORT": "9", "HOOKBOX_API_SECURITY_TOKEN": "x"}) == 3
    assert "no server answers at http://127.0.0.1:9 (connection refused); that address is from the settings" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [(None, None), ('{"a": 1}', {"a": 1}), ("hello", "hello"), ("7", 7), ("", ""), ("null", None), ("[" * 5000, "[" * 5000)],
)
def test_a_payload_is_json_or_else_text(text, value):
    assert _payload(text, False) == value
    if text is not None:
        assert _payload(text, True) == text


def test_a_time_may_be_how_long_ago():
    import time

    line = make_parser().parse_args(["deliveries", "list", "--since", "2h", "--until", "2024-11-20T12:00:00Z"])
    assert time.time() - float(line.since) == pytest.approx(7200, abs=60)
    assert line.until == "2024-11-20T12:00:00Z"


# tables


@given(st.lists(st.lists(st.text() | st.integers() | st.none(), min_size=3, max_size=3), max_size=5), st.integers(30, 120))
def test_tables_fit_and_have_one_line_for_each_row(rows, fit):
    text = tables.table(("ONE", "TWO", "THREE"), rows, fit)
    lines = text.split("\n")[:-1]
    assert len(lines) == len(rows) + 1
    assert all(tables.width(line) <= fit for line in lines)
    assert all(letter.isprintable() or letter == "\n" for letter in text)


@given(st.text(), st.integers(1, 20))
def test_what_is_cut_is_not_wider(text, most):
    assert tables.width(tables.cut(tables.clean(text), most)) <= most


def test_a_table_gives_way_at_its_last_columns_and_only_on_a_terminal():
    rows = [("dlv_1", "a" * 30, "http://a.example/" + "b" * 40)]
    assert tables.table(("ID", "TOPIC", "URL"), rows, None).splitlines()[1].endswith("b" * 40)
    narrow = tables.table(("ID", "TOPIC", "URL"), rows, 40)
    assert narrow.splitlines()[1] == f"dlv_1  {'a' * 22}…  http://…"


def test_nothing_shown_can_control_the_terminal():
    assert tables.clean("a\x1b[31m\nb\u202e") == "a\\x1b[31m\\nb\\u202e"
    assert tables.clean("日本") == "日本"


# progress


class FakeJobs:
    def __init__(self, *answers):
        self.answers = list(answers)

    def backlog(self, method, path):
        assert (method, path) == ("GET", "/jobs/job_1")
        said = self.answers.pop(0)
        if isinstance(said, Exception):
            raise said
        return said


class Terminal(io.StringIO):
    def isatty(self):
        return True


def running(done):
    return {"kind": "replay", "state": "running", "done": done, "count": 200, "problem": None}


ENDED = {"kind": "replay", "state": "done", "done": 200, "count": 200, "problem": None}


def test_progress_is_one_line_on_a_terminal_and_few_lines_elsewhere():
    terminal, pauses = Terminal(), []
    assert wait_for(FakeJobs(running(0), running(50), ENDED), "job_1", Progress(terminal), pauses.append) == ENDED
    assert terminal.getvalue().replace("\r", "|") == (
        "|replay running: 0 of 200 (0%)|replay running: 50 of 200 (25%)|replay done: 200 of 200 (100%) \n"
    )
    assert len(pauses) == 2
    log = io.StringIO()
    now = [0.0]
    later = lambda seconds: now.append(now[-1] + 6)  # noqa: E731
    jobs = FakeJobs(running(0), running(50), running(100), running(150), ENDED)
    wait_for(jobs, "job_1", Progress(log, lambda: now[-1]), later)
    assert [line.split()[2] for line in log.getvalue().splitlines()] == ["0", "100", "200"]


def test_a_server_that_restarts_is_waited_for_but_not_for_ever():
    gone = Unreachable("gone")
    assert wait_for(FakeJobs(running(0), gone, gone, ENDED), "job_1", Progress(io.StringIO()), lambda s: None) == ENDED
    with pytest.raises(Unreachable):
        wait_for(FakeJobs(*[gone] * 100), "job_1", Progress(io.StringIO()), lambda s: None)


def test_the_token_is_nowhere_in_what_is_shown_of_a_target():
    target = find_target(
        argparse.Namespace(server="http://a", token="word", token_file=None, config=None, timeout=1, cacert=""), {}
    )
    assert "word" not in repr(target)
