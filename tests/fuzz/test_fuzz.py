"""A little of what `make fuzz` does a lot of; past finds; and that the fuzzing itself would see a fault."""

import json
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "unit"), str(HERE.parent / "live")]

import engine  # noqa: E402
import fuzz  # noqa: E402
import on_sockets  # noqa: E402
from house import COMPLAINTS  # noqa: E402
from mutate import cuts  # noqa: E402
from reference import Frames, Refused, read_json  # noqa: E402
from targets import TARGETS  # noqa: E402

FINDS = json.loads((HERE.parent / "wire/fuzz.json").read_text())
COUNT = 1500
SEEN = {
    "frames": {"1002", "1007", "1008", "1009", "closed", "served", "whole"},
    "requests": {"1 requests, ended", "2 requests, closed", "0 requests, 400", "0 requests, 413", "0 requests, 431"},
    "lines": {"some frames", "no frame, bad_json", "some frames, bad_frame"},
    "comet": {"refused", "1 packets", "2 packets"},
    "answers": {"no answer", "allow"},
    "hub": {"subscribe", "unsubscribe", "ping", "fat ping", "refused, 400", "refused, 403", "refused, 415"},
}
"""Outcomes that any run must have: without them it would not get behind the first check."""


@pytest.fixture(autouse=True)
def what_others_logged_is_not_held_against_it():
    """Other tests provoke errors, and those are logged."""
    COMPLAINTS.records.clear()


@pytest.mark.parametrize("name", TARGETS)
def test_U6_damaged_input_has_listed_outcomes_only(name):
    result = engine.run(name, 2026, range(COUNT))
    assert result.finds == []
    assert result.count == COUNT
    assert SEEN[name] <= set(result.outcomes), result.outcomes


def test_U6_a_server_stands_damaged_input_and_nobody_else_notices():
    result = on_sockets.run(2026, 150)
    assert result.finds == []
    assert {outcome.split(":")[0] for outcome in result.outcomes} == set(TARGETS)


@pytest.mark.parametrize("find", FINDS, ids=lambda find: find["about"][:40])
def test_a_past_find_stays_mended(find):
    target = TARGETS[find["target"]]()
    data = find["data"].encode("latin-1")
    outcomes = {target.check(data, Random(number)) for number in range(50)}
    assert outcomes == set(find["outcomes"])


def test_one_seed_makes_the_same_inputs_and_another_makes_others():
    for target in (target() for target in TARGETS.values()):
        assert [engine.make(target, 1, n)[0] for n in range(20)] == [engine.make(target, 1, n)[0] for n in range(20)]
        assert engine.make(target, 1, 5)[0] != engine.make(target, 2, 5)[0]


def test_cuts_lose_nothing():
    for number in range(200):
        data = Random(number).randbytes(number)
        pieces = cuts(Random(-number), data)
        assert b"".join(pieces) == data
        assert all(pieces)


# that a fault would be seen


class Broken:
    name = "broken"

    def __init__(self, fault):
        self.check = fault


@pytest.mark.parametrize("number", range(20))
def test_an_exception_is_a_find(number):
    def fail(data, chance):
        raise KeyError(number)

    assert "KeyError" in engine.check(Broken(fail), b"", Random(), engine.Result("broken"))


def test_a_decoder_that_forgets_a_rule_is_found(monkeypatch):
    from hookbox.protocol.websocket import ServerProtocol

    judge = ServerProtocol._judge_header

    def lenient(self):
        buffer = self.reader.buffer
        if len(buffer) > 1 and buffer[0] & 0x70:
            buffer[0] &= 0x8F
        return judge(self)

    monkeypatch.setattr(ServerProtocol, "_judge_header", lenient)
    assert engine.run("frames", 1, range(500)).finds


def test_a_reader_that_takes_the_first_of_two_lengths_is_found(monkeypatch):
    from hookbox.web import request_head

    monkeypatch.setattr(request_head, "_ONCE", frozenset())
    monkeypatch.setattr(request_head, "_join", lambda key, first, second: first)
    assert engine.run("requests", 1, range(2000)).finds


def test_finds_are_kept_in_files_with_the_way_to_see_them_again(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(fuzz, "FINDS", tmp_path / "finds")
    monkeypatch.setattr(fuzz, "ROOT", tmp_path)
    fuzz.keep(engine.Find("frames", 7, 99, b"\x81\x00", "it went wrong"))
    assert (tmp_path / "finds/frames-7-99").read_bytes() == b"\x81\x00"
    said = capsys.readouterr().out
    assert "finds/frames-7-99" in said
    assert "--again 7 99 frames" in said
    assert fuzz.main(["--again", "7", "99", "frames"]) == 0
    assert fuzz.main(["--input", str(tmp_path / "finds/frames-7-99"), "frames"]) == 0


def test_portions_add_up():
    whole = engine.Result("frames")
    whole.add(engine.Result("frames", 2, 1.0, Counter(a=1, b=1), [], 0.5, 10))
    whole.add(engine.Result("frames", 3, 1.0, Counter(b=3), [], 0.1, 30))
    assert (whole.count, whole.outcomes, whole.slowest, whole.grown) == (5, Counter(a=1, b=4), 0.5, 30)


# the second readers


def test_the_second_readers_know_the_rules():
    assert Frames(b"\x81\x82\0\0\0\0hi", 10, 5).items == [b"hi"]
    assert Frames(b"\x81\x02hi", 10, 5).code == 1002
    assert Frames(b"\x01\x83\0\0\0\0\xed\xa0", 10, 5).clean is False
    assert Frames(b"\x01\x82\0\0\0\0\xed\xa0", 10, 5).code == 1007
    for bad in (b"NaN", b"[1e400]", b'"\\ud800"', b"9223372036854775808", b"[" * 33 + b"]" * 33, b"\xff", b"\xef\xbb\xbf1"):
        with pytest.raises(Refused):
            read_json(bad, 32)
    assert read_json(b"[" * 32 + b"]" * 32, 32)
