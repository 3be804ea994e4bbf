"""Put the ported cases of Autobahn|Testsuite to a WebSocket server, one after the other.

python fuzzing_client.py URL PATTERN...

Runs in the tool environment, with the directory that port.py wrote in PYTHONPATH. A pattern is a case's
number as `*` may fill it in: `9.*`, `1.1.1`. Each verdict is a line of JSON on standard output.

The cases hold bytes as `str`, one character each; here is the border where they become bytes and come back.
"""

import binascii
import json
import os
import random
import re
import sys
import time
from collections import Counter
from fnmatch import fnmatchcase

import autobahn.websocket.protocol as autobahn_protocol
import txaio
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol, connectWS
from autobahn.websocket import utf8validator
from twisted.internet import reactor

txaio.use_twisted()


def to_bytes(payload):
    return payload.encode("latin-1") if isinstance(payload, str) else payload


class FastMasker:
    """Masks a frame's payload piece by piece; the library's own loop in Python takes seconds for 16 MiB."""

    def __init__(self, mask):
        self._mask = mask
        self._at = 0

    def pointer(self):
        return self._at

    def reset(self):
        self._at = 0

    def process(self, data):
        turn = self._at % 4
        key = self._mask[turn:] + self._mask[:turn]
        self._at += len(data)
        step = 1 << 16  # a multiple of 4; a number of all bytes at once would take long to print
        return b"".join(_xor(data[at : at + step], key) for at in range(0, len(data), step))


def _xor(data, key):
    repeated = (key * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(data), "big")


autobahn_protocol.createXorMasker = lambda mask, length=None: FastMasker(mask)

_validate, _hexlify = utf8validator.Utf8Validator.validate, binascii.b2a_hex
utf8validator.Utf8Validator.validate = lambda self, data: _validate(self, to_bytes(data))
binascii.b2a_hex = lambda data: _hexlify(to_bytes(data)).decode()

from case import Cases  # noqa: E402  after the patches, as it works with them while it is imported
from case.case import Case  # noqa: E402

# They compare pickles, and today's differ for equal values of which one holds the same object twice.
Case.compare = lambda self, one, other: one == other


def case_id(case):
    return case.__name__.removeprefix("Case").replace("_", ".")


def chosen(patterns):
    """The cases that match, in the order of their numbers."""
    found = {case_id(case): case for case in Cases}
    matching = [name for name in found if any(fnmatchcase(name, pattern) for pattern in patterns)]
    return [
        found[name] for name in sorted(matching, key=lambda name: [int(part) for part in name.split(".")])
    ]


class FuzzingProtocol(WebSocketClientProtocol):
    """What a case asks of a connection."""

    def __init__(self, case, factory):
        super().__init__()
        self.factory = factory
        self.keeps_bytes = case_id(case).startswith(("12.", "13."))  # those cases are written for bytes
        self.connectionWasOpen = False
        self.createWirelog = False
        self.txFrameStats = Counter()
        self.began = time.perf_counter()
        self.runCase = case(self)

    # what comes

    def onOpen(self):
        self.connectionWasOpen = True
        self.began = time.perf_counter()
        self.runCase.onOpen()

    def onMessage(self, payload, isBinary):
        if not isBinary:
            payload.decode("utf-8")  # an error here ends the connection, and the case fails
        self.runCase.onMessage(payload if self.keeps_bytes else payload.decode("latin-1"), isBinary)

    def onPong(self, payload):
        self.runCase.onPong(payload.decode("latin-1"))

    def onClose(self, wasClean, code, reason):
        self.runCase.onClose(wasClean, code, reason)

    def connectionLost(self, reason):
        super().connectionLost(reason)
        self.runCase.onConnectionLost(self.failedByMe)
        self.factory.finished(self)

    # what goes

    def sendFrame(self, opcode, payload=b"", payload_len=None, **how):
        payload = to_bytes(payload)
        if payload_len is not None:
            payload = (payload * (payload_len // len(payload) + 1))[:payload_len]
        super().sendFrame(opcode, payload, **how)

    def sendMessage(self, payload, *args, **how):
        super().sendMessage(to_bytes(payload), *args, **how)

    def sendMessageFrameData(self, payload, *args, **how):
        return super().sendMessageFrameData(to_bytes(payload), *args, **how)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        super().sendCloseFrame(code, to_bytes(reasonUtf8), isReply)

    def logTxFrame(self, header, payload, *rest):
        self.txFrameStats[header.opcode] += 1

    def enableWirelog(self, enable):
        pass

    # what happens later

    def continueLater(self, delay, function, tag=None):
        self._later(delay, function)

    def killAfter(self, delay):
        self._later(delay, self.failConnection)

    def closeAfter(self, delay):
        self._later(delay, self.sendClose)

    def _later(self, delay, function):
        def unless_closed():
            if self.state != self.STATE_CLOSED:
                function()

        reactor.callLater(delay, unless_closed)


class FuzzingFactory(WebSocketClientFactory):
    """Connects once for each case."""

    def __init__(self, url, cases):
        super().__init__(url)
        self.logOctets = False
        self.logFrames = True
        # the library checks text byte by byte, in Python; `onMessage` does it at once
        self.setProtocolOptions(failByDrop=False, utf8validateIncoming=False)
        self.cases = cases
        self.next = 0

    def buildProtocol(self, address):
        return FuzzingProtocol(self.cases[self.next], self)

    def finished(self, protocol):
        case = protocol.runCase
        verdict = {
            "id": case_id(type(case)),
            "behavior": case.behavior,
            "close": case.behaviorClose,
            "code": protocol.remoteCloseCode,
            "seconds": round(time.perf_counter() - protocol.began, 3),
            "result": case.result,
            "result_close": case.resultClose,
        }
        print(json.dumps(verdict), flush=True)

    def clientConnectionLost(self, connector, reason):
        self.next += 1
        if self.next < len(self.cases):
            connector.connect()
        else:
            reactor.stop()

    def clientConnectionFailed(self, connector, reason):
        print(f"cannot connect: {reason.getErrorMessage()}", file=sys.stderr)
        os._exit(2)


def main(url, patterns):
    random.seed(1)
    cases = chosen(patterns)
    if not cases:
        sys.exit(f"no case matches {patterns}")
    assert all(re.fullmatch(r"[\d.]+", case_id(case)) for case in cases)
    connectWS(FuzzingFactory(url + "/ws", cases))
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
