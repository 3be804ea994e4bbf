"""A sample of Autobahn|Testsuite where its tools are there; and that judging its verdicts is itself right."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.sync.client import connect

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from conformance import echo_server, put, tools_are_there  # noqa: E402
from judge import GROUPS, NOT_STRICT, TOLD_ONLY, Verdict, deviation, table, too_slow  # noqa: E402

DEFAULTS, TOO_BIG, LARGE, COMPRESSION = GROUPS
GOOD = Verdict("1.1.1", "OK", "OK", 1000, 0.1, "as expected", "properly closed")

needs_tools = pytest.mark.skipif(
    not tools_are_there(),
    reason="NOT TESTED: no Autobahn|Testsuite here; `make autobahn` installs and runs all of it",
)


def said(case, behavior, close, code=1000, seconds=0.1):
    return replace(GOOD, id=case, behavior=behavior, close=close, code=code, seconds=seconds)


@pytest.mark.parametrize(
    ("group", "verdict"),
    [
        pytest.param(DEFAULTS, GOOD, id="U2-ok"),
        pytest.param(DEFAULTS, said("6.4.3", *NOT_STRICT, 1007), id="U2-not-strict"),
        pytest.param(DEFAULTS, said("7.13.1", *TOLD_ONLY, 1002), id="U2-informational"),
        pytest.param(TOO_BIG, said("9.1.2", "FAILED", "FAILED", 1009), id="U3-refused"),
        pytest.param(COMPRESSION, said("12.1.1", "UNIMPLEMENTED", "OK"), id="U4"),
    ],
)
def test_a_verdict_as_it_should_be_passes(group, verdict):
    assert deviation(verdict, group) == ""


@pytest.mark.parametrize(
    ("group", "verdict"),
    [
        pytest.param(DEFAULTS, said("1.1.1", "FAILED", "OK"), id="U2-failed"),
        pytest.param(DEFAULTS, said("7.3.4", "OK", "UNCLEAN"), id="U2-unclean"),
        pytest.param(DEFAULTS, said("7.7.1", "OK", "WRONG CODE"), id="U2-wrong-code"),
        pytest.param(DEFAULTS, said("6.4.1", *NOT_STRICT), id="U2-not-strict-elsewhere"),
        pytest.param(DEFAULTS, said("1.1.1", *TOLD_ONLY), id="U2-informational-elsewhere"),
        pytest.param(TOO_BIG, said("9.1.2", "FAILED", "FAILED", 1011), id="U3-refused-otherwise"),
        pytest.param(TOO_BIG, said("9.1.2", "OK", "OK", 1000), id="U3-accepted"),
        pytest.param(LARGE, said("9.1.2", "FAILED", "FAILED", 1009), id="U3-failed"),
        pytest.param(COMPRESSION, said("12.1.1", "OK", "OK"), id="U4-negotiated"),
    ],
)
def test_any_other_verdict_is_a_deviation(group, verdict):
    assert deviation(verdict, group)


def test_U3_a_case_with_a_time_limit_is_held_to_it():
    assert too_slow(said("9.1.6", "OK", "OK", seconds=1.0), LARGE)
    assert not too_slow(said("9.1.6", "OK", "OK", seconds=0.99), LARGE)
    assert not too_slow(said("9.1.5", "OK", "OK", seconds=9), LARGE)


def test_the_table_counts_each_case_by_its_worse_word():
    verdicts = [
        GOOD,
        said("7.1.1", "OK", "UNCLEAN"),
        said("7.1.2", "OK", "OK"),
        said("10.1.1", "NEW WORD", "OK"),
    ]
    assert [line.split() for line in table(verdicts)] == [
        ["chapter", "cases", "OK", "UNCLEAN", "FAILED"],
        ["1", "1", "1", ".", "."],
        ["7", "2", "1", "1", "."],
        ["10", "1", ".", ".", "1"],
        ["total", "4", "2", "1", "1"],
    ]


def test_U1_the_echo_gives_back_text_and_binary_as_they_came():
    with echo_server({}) as url, connect(url + "/ws", compression=None, proxy=None) as client:
        for message in ("é世😀", "", b"\x00\xff\xfe", b"", "x" * 65_536):
            client.send(message)
            assert client.recv(10) == message
        client.send([b"\xff", b"\xfe", b"\x80"])
        assert client.recv(10) == b"\xff\xfe\x80"


@needs_tools
def test_U2_a_sample_of_cases_gets_the_verdicts_it_should():
    with echo_server({}) as url:
        verdicts = put(
            url, ("1.*", "2.*", "3.*", "4.1.*", "5.[1-8]", "6.2.*", "6.3.1", "7.3.*", "7.7.*", "7.9.*")
        )
    assert len(verdicts) > 70
    assert [v for v in verdicts if deviation(v, DEFAULTS)] == []


@needs_tools
def test_U3_U4_a_sample_of_large_messages_and_of_compression():
    with echo_server({}) as url:
        (too_big,) = put(url, ("9.1.2",))
        compressed = put(url, ("12.1.1", "13.1.1"))
    assert deviation(too_big, TOO_BIG) == ""
    assert [v.behavior for v in compressed] == ["UNIMPLEMENTED", "UNIMPLEMENTED"]
    with echo_server(dict(LARGE.settings)) as url:
        verdicts = put(url, ("9.1.[1-4]", "9.2.1", "9.4.7"))
    assert [v for v in verdicts if deviation(v, LARGE)] == []


def test_the_tools_are_not_part_of_what_the_suite_needs():
    """They are installed by their own target alone, each at one version."""
    pinned = [
        line
        for line in (HERE / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert all("==" in line for line in pinned)
    assert "autobahn" not in (HERE.parents[1] / "setup.py").read_text()
