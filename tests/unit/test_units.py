"""Units as consumers of streams read them, and positions as they give them back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.errors import BadRequest
from hookbox.protocol.disconnects import RESTART, REVOKED, SLOW_CONSUMER, Disconnect
from hookbox.protocol.units import (
    Form,
    StreamPosition,
    Unit,
    Writer,
    choose_form,
    ending,
    gap,
    read_position,
    timestamp,
)

STORE = "0AbCdEfG"
TEXTS = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def written(payload_text, *, topic='"lobby"', user='"ann"', type=""):
    unit = Unit(7, topic, 3, "e1", "msg_1", 1_732_104_000_123, user, type, payload_text)
    return unit.text(STORE)


def read_lines(data, end, with_length):
    """What a consumer reads who knows nothing but the form."""
    units = []
    while data:
        if with_length:
            count, _, data = data.partition(b"\r\n")
            line, data = data[: int(count)], data[int(count) :]
            assert line.endswith(end)
        else:
            line, _, data = data.partition(end)
        units.append(json.loads(line))
    return units


def read_events(data):
    """The Server-Sent Events in some bytes, read as browsers read them."""
    events, event = [], {}
    for line in data.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not line:
            events.append(event)
            event = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            event.setdefault(name, []).append(value)
    return [event for event in events if event]


class TestPositions:
    @given(st.text("0123456789abcXYZ", min_size=8, max_size=8), st.integers(0, 2**63 - 1))
    def test_are_read_as_they_were_written(self, store, seq):
        position = StreamPosition(store, seq)
        assert read_position(str(position)) == position

    @given(st.text() | st.from_regex(r"[0-9a-z]{8}-\d*", fullmatch=True))
    def test_any_text_is_one_or_a_bad_request(self, text):
        try:
            position = read_position(text)
        except BadRequest as error:
            assert error.status == 400
        else:
            assert str(position) == text

    @pytest.mark.parametrize(
        "text",
        ["", "x", "12345678", "12345678-", "12345678--1", "12345678-1 ", "12345678-1\n", "1234567-1", "12345678-01",
         "12345678-٣", f"12345678-{2**63}", "12345678-1,12345678-2"],
    )  # fmt: skip
    def test_malformed_ones_are_refused(self, text):
        with pytest.raises(BadRequest):
            read_position(text)


class TestForms:
    @pytest.mark.parametrize(
        ("accept", "form"),
        [
            ("text/event-stream", Form.EVENTS),
            ("TEXT/Event-Stream;q=0.9, */*", Form.EVENTS),
            ("application/x-ndjson", Form.NDJSON),
            ("application/x-ndjson, text/event-stream", Form.EVENTS),
            ("application/json", Form.JSON),
            ("*/*", Form.JSON),
            ("text/html", Form.JSON),
            ("", Form.JSON),
        ],
    )
    def test_are_chosen_by_accept(self, accept, form):
        assert choose_form(accept) is form

    def test_the_parts_of_a_unit_stand_in_their_order(self):
        assert written('{"a": 1}', type="sign.up") == (
            '{"pos":"0AbCdEfG-7","topic":"lobby","offset":3,"epoch":"e1","message_id":"msg_1",'
            '"time":"2024-11-20T12:00:00.123Z","user":"ann","type":"sign.up","payload":{"a": 1}}'
        )

    @pytest.mark.parametrize("user", ["", "null"])
    def test_what_is_not_there_is_left_out(self, user):
        assert list(json.loads(written("1", user=user)))[5:] == ["time", "payload"]

    def test_times_have_milliseconds(self):
        assert timestamp(0) == "1970-01-01T00:00:00.000Z"
        assert timestamp(1_732_104_000_007) == "2024-11-20T12:00:00.007Z"

    def test_events_tell_the_browser_when_to_come_back(self):
        assert Writer(Form.EVENTS).opening("") == b"retry: 3000\n\n"

    def test_events_give_a_browser_a_position_before_the_first_message(self):
        assert read_events(Writer(Form.EVENTS).opening("0AbCdEfG-7")) == [
            {"retry": ["3000"], "id": ["0AbCdEfG-7"]}
        ]

    @pytest.mark.parametrize("form", [Form.JSON, Form.NDJSON])
    def test_lines_begin_with_the_first_unit(self, form):
        assert Writer(form).opening("0AbCdEfG-7") == b""

    @pytest.mark.parametrize(
        ("form", "sign"), [(Form.JSON, b"\r\n"), (Form.NDJSON, b"\n"), (Form.EVENTS, b": hb\n\n")]
    )
    def test_signs_of_life(self, form, sign):
        assert Writer(form).sign_of_life == sign


class TestPayloads:
    """T08: whatever is published, one unit stays one unit."""

    @given(VALUES, st.booleans(), st.sampled_from([None, 0, 1, "\r\n", "\n"]))
    def test_lines_hold_one_unit_each(self, payload, raw, indent):
        text = json.dumps(payload, ensure_ascii=not raw, indent=indent)
        for form, end in ((Form.JSON, b"\r\n"), (Form.NDJSON, b"\n")):
            for with_length in (False, True):
                writer = Writer(form, with_length)
                data = writer.message("p", written(text)) * 2
                units = read_lines(data, end, with_length)
                assert [unit["payload"] for unit in units] == [payload] * 2
                assert len(data.decode().splitlines()) == (4 if with_length else 2)

    @given(VALUES, st.booleans(), st.sampled_from([None, 0, "\r", "\r\n"]))
    def test_events_hold_one_unit_each(self, payload, raw, indent):
        text = json.dumps(payload, ensure_ascii=not raw, indent=indent)
        data = Writer(Form.EVENTS).message(f"{STORE}-7", written(text)) * 2
        first, second = read_events(data)
        assert first == second
        assert first["id"] == [f"{STORE}-7"]
        assert first["event"] == ["message"]
        assert [json.loads(line)["payload"] for line in first["data"]] == [payload]

    def test_lengths_count_bytes_and_the_line_end(self):
        """T07"""
        text = written('"Größe €"')
        assert Writer(Form.JSON, True).message("p", text) == (
            b"%d\r\n%b\r\n" % (len(text.encode()) + 2, text.encode())
        )
        assert Writer(Form.NDJSON, True).message("p", text).startswith(b"%d\r\n" % (len(text.encode()) + 1))


class TestControls:
    def test_a_gap_says_from_where_to_where(self):
        name, text = gap('"lobby"', "0AbCdEfG-1", "0AbCdEfG-9")
        assert text == '{"control":"gap","topic":"lobby","from":"0AbCdEfG-1","to":"0AbCdEfG-9"}'
        assert Writer(Form.EVENTS).control(name, text) == f"event: gap\ndata: {text}\n\n".encode()
        assert Writer(Form.JSON).control(name, text) == text.encode() + b"\r\n"

    @pytest.mark.parametrize(
        ("why", "name", "code"),
        [(RESTART, "shutdown", 1012), (SLOW_CONSUMER, "lag", 4001), (REVOKED, "revoked", 4502)],
    )
    def test_ends_say_why(self, why, name, code):
        assert ending(why)[0] == name
        assert json.loads(ending(why)[1]) == {"control": name, "code": code, "reason": why.reason}

    @given(TEXTS)
    def test_any_reason_stays_on_its_line(self, reason):
        data = Writer(Form.EVENTS).control(*ending(Disconnect(4502, reason)))
        (event,) = read_events(data)
        assert json.loads(event["data"][0])["reason"] == reason
