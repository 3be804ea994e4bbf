"""The six kinds of input: how a valid one looks, and what must hold of any other."""

from __future__ import annotations

import json
import re
import struct
from base64 import b64encode, urlsafe_b64encode

from client_frames import client_frame
from house import HouseTarget
from hub_target import HubTarget
from mutate import cuts, damage
from reference import Frames, Refused, framing, read_chunks, read_fields, read_json

from hookbox.core.cookies import read_set_cookie
from hookbox.errors import BadAnswer, BadRequest, ProtocolError, UnusableAnswer
from hookbox.protocol.csp import Incoming, Outgoing, Packet, encode_packets, read_batch
from hookbox.protocol.csp_variables import CONTENT_TYPES, Variables, read_acknowledged, read_query
from hookbox.protocol.rtjp import ClientFrame, LineBuffer, read_frame
from hookbox.protocol.websocket import Codecs, Event, ServerProtocol
from hookbox.web.bodies import Unreadable, read_given
from hookbox.web.origin import OriginRule, ProxyRule
from hookbox.web.reader import ConnectionEnded, Reader
from hookbox.web.request_head import DEFAULT_LIMITS, HeadLimits
from hookbox.web.upgrade import check_upgrade
from hookbox.webhooks.answer import AnswerReader
from hookbox.webhooks.gate import Allow, Refuse
from hookbox.webhooks.verdicts import read_verdict

ENCODERS = (json.JSONEncoder().encode, json.JSONEncoder(ensure_ascii=False).encode)
ROAD_SHARE = 0.3
"""Of the inputs that go on through all commands, which takes longer than reading them."""

WORDS = ["", "a", "lobby", "é世😀", "x" * 130, "\x00", "\u2028", '"\\', "__proto__", "$server", "ann"]
JSON_TOKENS = [
    b"[", b"]", b"{", b"}", b",", b":", b'"', b"null", b"true", b"false", b"NaN", b"Infinity", b"-", b"1e400", b"0.0",
    b"\\u", b"\\ud800", b"\\udc00", b"\\u0000", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"[" * 33, b"]" * 33, b'{"a":' * 33,
    b"9223372036854775808", b'"__proto__":', b"\\", b"[]", b"{}", b'""', b"[[]]",
]  # fmt: skip


def values(chance, depth=3):
    """Any JSON value."""
    kind = chance.randrange(9 if depth else 6)
    if kind < 3:
        return chance.choice(WORDS)
    if kind == 3:
        return chance.choice([None, True, False])
    if kind == 4:
        return chance.choice([0, 1, -1, 2**31, 2**63 - 1, -(2**63) + 1, 300])
    if kind == 5:
        return chance.choice([0.5, -1.5e300, 1e-300])
    if kind == 6:
        return [values(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {chance.choice(WORDS): values(chance, depth - 1) for _ in range(chance.randrange(4))}


def client_line(chance):
    """What a client sends: mostly sensible frames."""
    name = chance.choice(["CONNECT", "SUBSCRIBE", "UNSUBSCRIBE", "PUBLISH", "MESSAGE", "PING"])
    known = {
        "channel_name": lambda: chance.choice(["lobby", "lobby", "other", *WORDS]),
        "payload": lambda: json.dumps(values(chance)),
        "cookie_string": lambda: chance.choice(["", "a=1; b=2", "user=ann"]),
        "name": lambda: chance.choice(["ann", "bob", *WORDS]),
        "since": lambda: chance.choice([{"epoch": "e", "offset": 3}, {"lobby": {"epoch": "e", "offset": 0}}]),
        "features": lambda: chance.sample(["ack", "recover", "ping", "close", "more"], 3),
    }
    args = {key: make() for key, make in known.items() if chance.random() < 0.6}
    if chance.random() < 0.4:
        args[chance.choice([*known, *WORDS])] = values(chance)
    return chance.choice(ENCODERS)([chance.randrange(1000), name, args]).encode() + b"\r\n"


class Target:
    """One kind of input.

    `name`; `tokens`, what its grammar is made of; `valid(chance)`, the pieces of a valid input; and
    `check(data, chance)`, which says in a word what became of an input and raises when something must not have.
    """

    tokens = ()

    def make(self, chance):
        """An input that is damaged anywhere."""
        return damage(chance, self.valid(chance), lambda: self.valid(chance), self.tokens)


class FramesTarget(Target):
    """WebSocket frames: exactly what a second decoder says, however they are cut."""

    name = "frames"
    tokens = (
        b"\x81\x80", b"\x89\x80", b"\x88\x82", b"\x8a\x80", b"\x00\x80", b"\x80\x80", b"\x01\x80", b"\x82\xfe", b"\x81\xff",
        b"\x00" * 4, b"\xff" * 4, b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc3", b"\x03\xe8",
    )  # fmt: skip
    LIMITS = ((300, 5), (65_536, 128))

    def valid(self, chance):
        pieces = []
        for _ in range(chance.choice((1, 1, 2, 3, 6))):
            kind = chance.randrange(10)
            if kind < 5:
                pieces.append(frame(chance, chance.choice((1, 1, 2)), text(chance)))
            elif kind < 7:
                pieces += fragments(chance)
            elif kind < 9:
                pieces.append(frame(chance, chance.choice((9, 10)), chance.randbytes(chance.choice((0, 1, 125)))))
        if chance.random() < 0.3:
            code = chance.choice((1000, 1001, 1003, 1007, 1014, 3000, 4999, 999, 1005, 1015, 5000))
            pieces.append(frame(chance, 8, chance.choice((b"", struct.pack("!H", code) + text(chance)[:40]))))
        return pieces

    def check(self, data, chance):
        most, most_fragments = chance.choice(self.LIMITS)
        expected = Frames(data, most, most_fragments)
        for pieces in ([data] if data else [], cuts(chance, data)):
            codec = ServerProtocol(most, most_fragments)
            items, _, code = got = self._receive(codec, pieces)
            assert got == (expected.items, expected.answers, expected.code), f"{got} != {vars(expected)}"
            over = code is not None or "close" in items
            assert codec.reusable == (expected.clean and not over), "given back in the wrong moment"
            assert len(codec.reader.buffer) <= len(data)
        whole = Codecs(most, most_fragments).read_whole(data)
        if whole is not None:
            assert (expected.items, expected.code, expected.clean) == ([whole], None, True)
            assert expected.answers == b""
            return "whole"
        return str(expected.code) if expected.code else "closed" if "close" in expected.items else "served"

    @staticmethod
    def _receive(codec, pieces):
        items, answers = [], b""
        for piece in pieces:
            received = codec.receive(piece)
            items += [item.value if isinstance(item, Event) else item for item in received.items]
            answers += b"".join(codec.data_to_send())
            if received.fault is not None:
                return items, answers, received.fault.code
            if Event.CLOSE in received.items:
                break
        return items, answers, None


def text(chance):
    if chance.random() < 0.4:
        return client_line(chance)
    return chance.choice([b"", b"hi", "é世😀".encode(), "é世😀".encode() * 30, b"x" * 299, b"x" * 300])


def fragments(chance):
    whole = text(chance)
    pieces, opcode = [], chance.choice((1, 2))
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(whole) + 1)
        pieces.append(frame(chance, opcode, whole[:at], fin=False))
        opcode, whole = 0, whole[at:]
        if chance.random() < 0.3:
            pieces.append(frame(chance, 9, b"?"))
    return [*pieces, frame(chance, 0, whole)]


def frame(chance, opcode, payload, fin=True):
    """One frame as a client sends it; one in ten has something wrong with its header."""
    rsv, mask, size, form = 0, chance.choice((bytes(4), chance.randbytes(4))), len(payload), None
    if chance.random() < 0.1:
        match chance.randrange(7):
            case 0:
                fin = not fin
            case 1:
                rsv = chance.randrange(8)
            case 2:
                opcode = chance.randrange(16)
            case 3:
                mask = None
            case 4:
                form = chance.choice((16, 64) if size < 65_536 else (64,))
            case _:
                size = chance.choice((0, 1, 125, 126, 300, 301, 65_535, 65_536, 65_537, 2**62, 2**63, 2**64 - 1))
    return client_frame(opcode, payload, fin=fin, rsv=rsv, mask=mask, length=size, form=form)


class FakeSocket:
    """Gives pieces as they come from a network, then the end."""

    def __init__(self, pieces):
        self._pieces = list(pieces)
        self.given = 0

    def settimeout(self, seconds):
        pass

    def recv(self, count):
        if not self._pieces:
            return b""
        piece = self._pieces[0][:count]
        self._pieces[0] = self._pieces[0][count:]
        if not self._pieces[0]:
            del self._pieces[0]
        self.given += len(piece)
        return piece


class RequestsTarget(Target):
    """HTTP requests in a row: nothing is accepted that could be understood in two ways."""

    name = "requests"
    tokens = (
        b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\t", b":", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"POST /csp/send HTTP/1.1\r\n",
        b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
        b"Host: a\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"5;x=y\r\n", b"HTTP/1.0",
        b"HTTP/2.0", b"http://a/", b"%00", b"%2e%2e/", b"/../", b"\x00", b"\xff", b"f" * 17, b"x" * 200, b"A: b\r\n" * 70, b" folded\r\n",
    )  # fmt: skip
    LIMITS = ((DEFAULT_LIMITS, 65_536), (HeadLimits(100, 120, 500, 8), 60))
    STATUSES = frozenset({400, 413, 414, 417, 431, 501, 505})

    def valid(self, chance):
        pieces = []
        for _ in range(chance.randint(1, 3)):
            pieces += self._request(chance)
        return pieces

    def _request(self, chance):
        method = chance.choice(["GET", "POST", "POST", "PUT", "OPTIONS", "HEAD"])
        target = chance.choice(["/", "/ws", "/csp/send?s=k&a=1", "/web/publish", "/%C3%A9?x=%20", "http://a:80/x", "*"][: 7 if method == "OPTIONS" else 6])
        pieces = [f"{method} {target} HTTP/1.{chance.choice('1110')}\r\n".encode(), b"Host: a:80\r\n"]
        more = [
            b"User-Agent: x\r\n", b"Cookie: a=1; b=2\r\n", b"Cookie: c=3\r\n", b"Origin: http://a:80\r\n", b"Accept:*/*\r\n",
            b"Connection: keep-alive\r\n", b"Connection: close, x\r\n", b"X-Forwarded-For: 1.2.3.4, ::1\r\n", b"X-\xe9: \xe9\r\n"[3:],
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            b"Content-Type: application/json\r\n", b"Content-Type: application/x-www-form-urlencoded\r\n", b"Expect: 100-continue\r\n",
        ]  # fmt: skip
        pieces += [line for line in chance.sample(more, chance.randrange(5)) if line.count(b":") >= 1]
        body = chance.choice([b"", b"hello", b"a=%C3%A9&b=+&c", json.dumps(values(chance)).encode(), b"x" * 61])
        if chance.random() < 0.4:
            at = chance.randrange(len(body) + 1)
            chunks = [b"%x%b\r\n%b\r\n" % (len(part), chance.choice((b"", b";a=b")), part) for part in (body[:at], body[at:]) if part]
            return [*pieces, b"Transfer-Encoding: chunked\r\n", b"\r\n", *chunks, b"0\r\n", chance.choice((b"", b"T: x\r\n")), b"\r\n"]
        if body or chance.random() < 0.3:
            pieces.append(b"Content-Length: %d\r\n" % len(body))
        return [*pieces, b"\r\n", body]

    def check(self, data, chance):
        limits, body_limit = chance.choice(self.LIMITS)
        requests, ending = self._serve([data] if data else [], limits, body_limit)
        again, ending_again = self._serve(cuts(chance, data), limits, body_limit)
        assert again == requests, f"cuts matter: {again} != {requests}"
        # a fault may be told before its line or head has ended, and then by another of the refusals
        if (ending in self.STATUSES) != (ending_again in self.STATUSES):
            _, when_complete = self._serve([data + b"\r\n\r\n"], limits, body_limit)
            assert {ending, ending_again} <= {*self.STATUSES, "ended"}, f"cuts matter: {ending}, {ending_again}"
            assert when_complete in self.STATUSES, f"cuts matter: {ending}, {ending_again}, {when_complete}"
        for start, end, head, body in requests:
            self._judge(data[start:end], head, body)
        return f"{len(requests)} requests, {ending}"

    def _serve(self, pieces, limits, body_limit):
        """The requests that are accepted, each with where it stands, and how the connection ends."""
        sock = FakeSocket(pieces)
        reader = Reader(sock, lambda: 0.0)
        requests = []
        while True:
            start = sock.given - len(reader._data)
            try:
                head = reader.head(limits, 1, 1)
                body = reader.body(head, body_limit, 1, lambda: None)
            except BadRequest as refusal:
                assert refusal.status in self.STATUSES, refusal
                assert str(refusal).isascii()
                return requests, refusal.status
            except ConnectionEnded:
                return requests, "ended"
            assert len(body) <= body_limit
            requests.append((start, sock.given - len(reader._data), head, body))
            if not head.keep_alive:
                return requests, "closed"

    def _judge(self, raw, head, body):
        raw = raw.removeprefix(b"\r\n")
        lines, _, rest = raw.partition(b"\r\n\r\n")
        first, *lines = lines.split(b"\r\n")
        found = re.fullmatch(rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) ([!\"$-~]+) (HTTP/1\.[01])", first)
        assert found, f"request line {first!r}"
        assert (head.method, head.version) == (found[1].decode(), found[3].decode())
        fields = read_fields(lines)
        how = framing(fields)
        if how == "chunked":
            assert head.version == "HTTP/1.1"
            assert read_chunks(rest) == (body, b"")
        else:
            assert len(rest) == (how or 0)
            assert rest == body
        hosts = [value for name, value in fields if name == b"host"]
        assert len(hosts) == 1 or (head.version == "HTTP/1.0" and not hosts)
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", head.path + head.query + head.host + "".join(head.headers.values()))
        assert ".." not in head.path.split("/")
        head.path.encode("latin-1").decode("utf-8")
        self._go_on(head, body)

    def _go_on(self, head, body):
        """What the door does next has its refusals too."""
        ProxyRule(("127.0.0.1",)).client_ip("127.0.0.1", head.headers.get("HTTP_X_FORWARDED_FOR", ""))
        OriginRule(()).allows(head.headers.get("HTTP_ORIGIN"), head.host, head.headers.get("HTTP_SEC_FETCH_SITE"))
        read_query(head.query)
        try:
            check_upgrade(head)
        except BadRequest as refusal:
            assert refusal.status in (400, 426)
        try:
            given = read_given(body, head.headers.get("CONTENT_TYPE", ""), 32)
            json.dumps(given.values).encode()
        except Unreadable as refusal:
            assert refusal.status in (400, 415)


class LinesTarget(Target):
    """RTJP lines: a frame or a listed fault each, as a second JSON reader says; then the whole road of commands."""

    name = "lines"
    tokens = (*JSON_TOKENS, b"\r\n", b"\r", b"\n", b'"CONNECT"', b'"SUBSCRIBE"', b'"frame_CONNECT"', b'"channel_name"', b'"lobby"',
              b'"payload":"[1]"', b'"since":{"epoch":"e","offset":-1}', b'"features":["ack","recover"]', b'"cookie_string":"a=\\r\\n"')  # fmt: skip
    LIMITS = (65_536, 150)

    def __init__(self):
        self._road = HouseTarget()

    def valid(self, chance):
        login = b'[1,"CONNECT",{"cookie_string":"","payload":"\\"ann\\""}]\r\n'
        return [login] * (chance.random() < 0.8) + [client_line(chance) for _ in range(chance.randint(1, 5))]

    def check(self, data, chance):
        limit = chance.choice(self.LIMITS)
        outcomes = self._read([data], limit)
        assert self._read(cuts(chance, data), limit) == outcomes, "cuts matter"
        for line, outcome in zip(data.split(b"\r\n"), outcomes, strict=False):
            if outcome != "too_large":
                self._judge(line, outcome)
        words = self._road.feed(cuts(chance, data)[:8]) if chance.random() < ROAD_SHARE else ""
        good = any(isinstance(outcome, ClientFrame) for outcome in outcomes)
        return ("some frames" if good else "no frame") + words

    @staticmethod
    def _read(pieces, limit):
        lines, outcomes = LineBuffer(), []
        try:
            for piece in pieces:
                for line in lines.feed(piece, limit):
                    assert len(line) + 2 <= limit
                    try:
                        outcomes.append(read_frame(line))
                    except ProtocolError as error:
                        assert error.code in ("bad_json", "bad_frame"), error
                        outcomes.append((error.code, str(error), error.frame_id))
        except ProtocolError as error:
            assert error.code == "too_large", error
            outcomes.append(error.code)
        return outcomes

    @staticmethod
    def _judge(line, outcome):
        try:
            value = read_json(line, 32)
        except Refused:
            assert outcome == ("bad_json", "Invalid json", None), outcome
            return
        match value:
            case [int() as number, str() as name, dict() as args] if name and not isinstance(number, bool):
                assert outcome == ClientFrame(number, name, args)
                json.dumps(args, allow_nan=False).encode()
            case _:
                assert outcome[0] == "bad_frame", outcome


class CometTarget(Target):
    """A comet request's query, and its batch of packets behind a blank."""

    name = "comet"
    tokens = (*JSON_TOKENS, b"[1,0,", b"[2,1,", b"&", b"=", b"%", b"+", b"%ff", b"%0d%0a", b"%3Cscript%3E", b"du=", b"ps=", b"rp=", b"ct=",
              b"is=1", b"a=", b"-", b"_", b"/", b"==", b"=a=", b"999999999999999999")  # fmt: skip
    DOOR_PASSES = bytes(n for n in range(0x21, 0x7F) if n != ord("#"))

    def make(self, chance):
        """Damaged anywhere, or only in one of its two parts."""
        if chance.random() < 0.4:
            return super().make(chance)
        query, _, body = b"".join(self.valid(chance)).partition(b" ")
        if chance.random() < 0.5:
            return damage(chance, query.split(b"&"), lambda: [query], self.tokens).replace(b" ", b"") + b" " + body
        return query + b" " + damage(chance, [body], lambda: [body], JSON_TOKENS)

    def valid(self, chance):
        names = ["s", "a", "d", "rp", "rs", "bp", "bs", "p", "ps", "du", "is", "i", "se", "ct"]
        some = ["", "0", "1", "30", "4096", "-1", "parent.cb", "data%3A%20", ";", "text%2Fevent-stream", "%0D%0A"]
        query = "&".join(f"{name}={chance.choice(some)}" for name in chance.choices(names, k=chance.randrange(6)))
        first = chance.choice((1, 1, 1, 5))
        packets = [self._packet(chance, first + n) for n in range(chance.randrange(4))]
        body = [item for packet in packets for item in (packet, b",")][:-1]
        return [query.encode(), b" ", b"[", *body, b"]"]

    @staticmethod
    def _packet(chance, number):
        data = client_line(chance) if chance.random() < 0.8 else chance.randbytes(10)
        match chance.randrange(5):
            case 0:
                return b"[%d,0,%b]" % (number, json.dumps(data.decode("latin-1")).encode())
            case 1:
                return b"[%d,0,null]" % number
            case 2:
                return b'[%d,1,"%b"]' % (number, b64encode(data))
            case _:
                return b'[%d,1,"%b"]' % (number, urlsafe_b64encode(data).rstrip(b"="))

    def check(self, data, chance):
        query, _, body = data.partition(b" ")
        self._check_query(bytes(byte for byte in query if byte in self.DOOR_PASSES).decode())
        try:
            packets = read_batch(body)
        except ProtocolError as error:
            assert error.code in ("bad_json", "bad_frame"), error
            packets = None
        expected = self._reference(body)
        assert packets == expected, f"{packets} != {expected}"
        if packets is None:
            return "refused"
        self._check_repeats(packets, chance)
        return f"{len(packets)} packets"

    @staticmethod
    def _check_query(query):
        found = read_query(query)
        assert -(10**18) < read_acknowledged(found.get("a", b"")) < 10**18
        variables = Variables().updated(found)
        packets = encode_packets(1, b"x", 1)
        dressed = variables.preamble() + variables.batch(packets) + variables.batch([]) + variables.reply('"OK"')
        assert not re.search(rb"[<>&'%\\\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\xff]", dressed), dressed
        assert len(dressed) < 5000
        assert variables.ct in CONTENT_TYPES
        assert 0 <= variables.du <= 40
        assert 0 <= variables.i <= 40
        assert variables.idle_limit > 0
        outgoing = Outgoing()
        outgoing.append(packets)
        outgoing.acknowledge(read_acknowledged(found.get("a", b"")))
        assert len(outgoing) == 1, "what was never shown cannot be acknowledged"

    @staticmethod
    def _check_repeats(packets, chance):
        whole, cut = Incoming(), Incoming()
        at = chance.randrange(len(packets) + 1)
        stream = whole.take(packets)
        assert whole.take(packets) == b"", "a repeated batch is no news"
        assert cut.take(packets[:at]) + cut.take(packets[:at]) + cut.take(packets) == stream
        assert len(stream) <= sum(len(packet.data or b"") for packet in packets)

    def _reference(self, body):
        try:
            batch = read_json(body, 2)
            if not isinstance(batch, list):
                return None
            return [self._reference_packet(item) for item in batch]
        except Refused:
            return None

    @staticmethod
    def _reference_packet(item):
        if not isinstance(item, list) or len(item) != 3 or type(item[0]) is not int:
            raise Refused
        number, encoding, data = item
        if data is None:
            return Packet(number, None)
        if not isinstance(encoding, int) or not isinstance(data, str) or encoding not in (0, 1):
            raise Refused
        if not encoding:
            return Packet(number, data.encode())
        digits = data.rstrip("=")
        if not re.fullmatch(r"[A-Za-z0-9+/_-]*", digits) or len(digits) % 4 == 1:
            raise Refused
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        bits = "".join(f"{alphabet.index(digit.translate({45: 43, 95: 47})):06b}" for digit in digits)
        return Packet(number, bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) // 8 * 8, 8)))


class AnswersTarget(Target):
    """The application's answers to webhooks: one verdict or none, never someone else's bytes; then what it causes."""

    name = "answers"
    tokens = (*JSON_TOKENS, b"\r\n", b"\r\n\r\n", b"\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"Content-Length: 10\r\n",
              b"Transfer-Encoding: chunked\r\n", b"Set-Cookie: a=b\r\n", b"Content-Encoding: gzip\r\n", b"Connection: close\r\n",
              b"0\r\n\r\n", b"a\r\n[true, {}]\r\n", b"[true, {}]", b"[false, {}]", b"; HttpOnly", b"; Max-Age=", b"; Expires=", b"\x00", b"f" * 16)  # fmt: skip
    OPTIONS = (
        "name", "error", "msg", "override_payload", "auto_subscribe", "auto_unsubscribe", "history", "history_size", "state", "polling",
        "moderated", "presenceful", "anonymous", "reflective", "server_user_presence", "recovery_size", "history_duration",
        "override_channel_name", "override_recipient_name", "options", "only_to_sender",
    )  # fmt: skip

    def __init__(self):
        self._road = HouseTarget()

    def make(self, chance):
        """Damaged anywhere, or in its body only, or not at all: odd options are damage enough."""
        match chance.randrange(4):
            case 0:
                body = damage(chance, [self._body(chance)], lambda: [self._body(chance)], JSON_TOKENS)
                return b"".join(self._around(chance, body))
            case 1:
                return b"HTTP/1.1 200 OK\r\n\r\n" + self._body(chance)
        return super().make(chance)

    def valid(self, chance):
        return self._around(chance, self._body(chance))

    def _body(self, chance):
        options = {chance.choice(self.OPTIONS): self._option(chance) for _ in range(chance.randrange(5))}
        return json.dumps([chance.random() < 0.8, options]).encode()

    @staticmethod
    def _around(chance, body):
        pieces = [b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n"] * (chance.random() < 0.1)
        pieces.append(b"HTTP/1.%c %d %b\r\n" % (chance.choice(b"1110"), chance.choice((200, 200, 200, 204, 404, 500)), b"OK"))
        more = [
            b"Set-Cookie: a=1; HttpOnly\r\n", b"Set-Cookie: b=2; Expires=Thu, 01 Jan 1970 00:00:00 GMT\r\n", b"Set-Cookie: c=3; Max-Age=60\r\n",
            b"Connection: close\r\n", b"Content-Type: application/json\r\n", b"X: \xe9\r\n", "Set-Cookie: d=é; Expires=Mon, 1 Jan 0001 00:00:00 +2359\r\n".encode(),
        ]  # fmt: skip
        pieces += chance.sample(more, chance.randrange(4))
        match chance.randrange(4):
            case 0:
                return [*pieces, b"\r\n", body]
            case 1:
                at = chance.randrange(len(body) + 1)
                chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:at], body[at:]) if part]
                return [*pieces, b"Transfer-Encoding: chunked\r\n", b"\r\n", *chunks, b"0\r\n", b"\r\n"]
            case _:
                return [*pieces, b"Content-Length: %d\r\n" % len(body), b"\r\n", body]

    @staticmethod
    def _option(chance):
        return chance.choice([
            lambda: values(chance),
            lambda: chance.choice(["ann", "lobby", True, False, 0, 5, 10_000, 0.5]),
            lambda: ["lobby", "other"],
            lambda: {"a": values(chance)},
            lambda: [["PUBLISH", {"user": "ann", "payload": values(chance)}]],
            lambda: {"mode": "simple", "url": "http://a/", "interval": 5},
        ])()  # fmt: skip

    def check(self, data, chance):
        limit = chance.choice((40, 262_144))
        answer = self._read([data] if data else [], limit)
        again = self._read(cuts(chance, data), limit)
        assert answer == again or (isinstance(answer, str) and isinstance(again, str)), f"cuts matter: {answer}, {again}"
        if isinstance(answer, str):
            return "no answer"
        status, headers, body, _ = answer
        self._judge(data, *answer)
        set_cookies = [value for name, value in headers if name.lower() == "set-cookie"]
        for value in set_cookies:
            try:
                read_set_cookie(value, 1e9)
            except ValueError:
                pass
        return self._verdict(status, body, set_cookies, chance)

    @staticmethod
    def _read(pieces, limit):
        reader = AnswerReader(limit)
        try:
            for piece in pieces:
                reader.feed(piece)
            reader.end()
        except BadAnswer as error:
            assert len(str(error)) < 200
            return str(error)
        assert reader.done
        assert len(reader.body) <= limit
        return reader.status, reader.headers, reader.body, reader.reusable

    @staticmethod
    def _judge(raw, status, headers, body, reusable):
        while True:
            lines, _, raw = raw.partition(b"\r\n\r\n")
            first, *lines = lines.split(b"\r\n")
            found = re.fullmatch(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?", first)
            assert found, first
            if not found[2].startswith(b"1"):
                break
        fields = read_fields(lines)
        assert [name.decode().lower() for name, _ in fields] == [name.lower() for name, _ in headers]
        assert status == int(found[2])
        if status in (204, 304):
            assert body == b""
            rest = raw
        else:
            how = framing(fields)
            if how == "chunked":
                assert found[1] == b"1"
                expected, rest = read_chunks(raw)
            else:
                end = len(raw) if how is None else how
                assert len(raw) >= end
                expected, rest = raw[:end], raw[end:]
                assert how is not None or not reusable
            assert body == expected
        connection = b",".join(value for name, value in fields if name == b"connection").lower()
        assert not reusable or (not rest and found[1] == b"1" and b"close" not in map(bytes.strip, connection.split(b",")))

    def _verdict(self, status, body, set_cookies, chance):
        try:
            verdict = read_verdict(status, body, set_cookies)
        except UnusableAnswer as error:
            assert str(error).isascii()
            verdict = error
        try:
            expected = read_json(body, 32) if status == 200 else None
        except Refused:
            expected = None
        match expected:
            case [True, dict(options)]:
                assert verdict == Allow(options, tuple(set_cookies))
            case [False, dict(options)]:
                assert isinstance(verdict, Refuse)
                json.dumps(verdict.reason).encode()
            case _:
                assert isinstance(verdict, UnusableAnswer), verdict
        if isinstance(verdict, UnusableAnswer) and chance.random() > ROAD_SHARE:
            return "unusable"  # whatever it was, it causes the same
        return type(verdict).__name__.lower() + self._road.answered(verdict)


TARGETS = {target.name: target for target in (FramesTarget, RequestsTarget, LinesTarget, CometTarget, AnswersTarget, HubTarget)}


