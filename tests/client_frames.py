"""WebSocket frames as a client sends them, built by hand: also those that no client library would send."""

import struct

MASK = b"\x37\xfa\x21\x3d"


def client_frame(opcode, payload=b"", *, fin=True, rsv=0, mask=MASK, length=None, form=None):
    """One frame.

    Args:
        mask: None sends it unmasked.
        length: announced instead of the payload's own.
        form: 7, 16 or 64 bits for the length, whatever it is.
    """
    payload = payload.encode() if isinstance(payload, str) else payload
    size = len(payload) if length is None else length
    form = form or (7 if size < 126 else 16 if size < 65_536 else 64)
    masked = 0x80 if mask else 0
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if form == 7:
        head += bytes([masked | size])
    elif form == 16:
        head += bytes([masked | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([masked | 127]) + size.to_bytes(8, "big")
    if not mask:
        return head + payload
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    body = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return head + mask + body.to_bytes(len(payload), "big")


def text(payload, **how):
    return client_frame(1, payload, **how)


def close(code, reason=b""):
    return client_frame(8, struct.pack("!H", code) + reason)
