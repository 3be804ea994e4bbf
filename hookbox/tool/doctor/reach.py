"""The way there: name, connection, certificate."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from hookbox.tool.doctor import mends
from hookbox.tool.doctor.case import Case, Hopeless
from hookbox.tool.findings import Finding, note, ok, warning, wrong
from hookbox.tool.places import Place, is_local
from hookbox.tool.wire import Flow, dial, reason_of

SOON_DAYS: Final = 14
MOST_ADDRESSES: Final = 4
ADDRESS_SECONDS: Final = 3.0
EXPIRED, SELF_SIGNED, SELF_SIGNED_CHAIN, NO_ISSUER, OTHER_HOST, OTHER_IP = 10, 18, 19, 20, 62, 64


def reach(case: Case) -> Iterator[Finding]:
    """Look the name up, connect, and look at the certificate.

    Raises:
        Hopeless: there is nothing that could be looked at further.
    """
    place = case.place
    addresses = _addresses(place)
    yield from _try_each(case, addresses)
    began = time.monotonic()
    try:
        sock = dial(place, case.cacert, case.timeout)
    except ssl.SSLCertVerificationError as error:
        raise Hopeless(_certificate(error, place)) from None
    except ssl.SSLError as error:
        raise Hopeless(_no_tls(error, place)) from None
    except OSError as error:
        raise Hopeless(_unreached(error, place), silent=True) from None
    with sock:
        took = (time.monotonic() - began) * 1000
        case.learned.own_address, case.learned.peer_address = sock.getsockname()[0], sock.getpeername()[0]
        yield ok("connect", f"{place.authority} answers at {case.learned.peer_address}", f"{took:.0f} ms")
        if isinstance(sock, ssl.SSLSocket):
            yield from _about_tls(sock)
    if place.secure:
        yield from _about_plain_http(case)
    elif not is_local(place.host):
        what = "no TLS: everybody on the way reads along, cookies included, and pages by https cannot connect"
        yield warning("no_tls", what, "", "Serve it by https.")


def _addresses(place: Place) -> list[tuple[Any, ...]]:
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        mend = "Is it spelled right, and does the name's DNS entry exist already?"
        raise Hopeless(wrong("dns", f"there is no host called {place.host}", "", mend), silent=True) from None
    return found[:MOST_ADDRESSES]


def _try_each(case: Case, addresses: list[tuple[Any, ...]]) -> Iterator[Finding]:
    """A browser may try any of a name's addresses: all of them have to work."""
    if len(addresses) < 2 or is_local(case.place.host):
        return
    for family, kind, number, _, address in addresses:
        if family == socket.AF_INET6 and not _has_ipv6():
            continue
        try:
            with socket.socket(family, kind, number) as sock:
                sock.settimeout(min(case.timeout, ADDRESS_SECONDS))
                sock.connect(address)
        except OSError as error:
            what = f"one of the name's addresses does not answer: {address[0]}"
            mend = "Take it out of DNS, or have the server listen there, too (nginx: listen [::]:443 ssl;)."
            yield warning("dead_address", what, reason_of(error), mend)


def _has_ipv6() -> bool:
    """Whether this machine has a way into the IPv6 network; nothing is sent."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.connect(("2001:db8::1", 9))
    except OSError:
        return False
    return True


def _unreached(error: OSError, place: Place) -> Finding:
    reason = reason_of(error)
    if isinstance(error, ConnectionRefusedError):
        mend = (
            f"Does the proxy, or Hookbox, listen on port {place.port} of {place.host}? Hookbox by itself "
            "listens on 127.0.0.1:8001, where only the same machine reaches it (--interface)."
        )
        return wrong("refused", f"nothing listens at {place.authority}", reason, mend)
    mend = "Is the machine up, and does a firewall let this port through?"
    return wrong("unreachable", f"{place.authority} cannot be reached", reason, mend)


def _certificate(error: ssl.SSLCertVerificationError, place: Place) -> Finding:
    what, mend = {
        EXPIRED: ("the certificate has expired", "Renew it, and reload the web server: certbot renew."),
        OTHER_HOST: (f"the certificate is not for {place.host}", "Get one that has this name."),
        OTHER_IP: (f"the certificate is not for {place.host}", "Use the name that it is for."),
        SELF_SIGNED: ("the certificate is signed by itself", "Browsers refuse it; get another."),
        SELF_SIGNED_CHAIN: ("the certificate's authority is unknown", "Give its file here with --cacert."),
        NO_ISSUER: (
            "the chain of certificates is not complete, or its authority is unknown",
            "Serve the whole chain (nginx: ssl_certificate fullchain.pem); an authority of yours: --cacert.",
        ),
    }.get(error.verify_code, ("the certificate is not trusted", "Browsers refuse it, too."))
    return wrong("certificate", what, reason_of(error), mend)


def _no_tls(error: ssl.SSLError, place: Place) -> Finding:
    if "WRONG_VERSION" in (error.reason or "") or "UNKNOWN_PROTOCOL" in (error.reason or ""):
        mend = f"Ask it by http://{place.host}:{place.port}, or have it speak TLS."
        return wrong("no_tls", f"no TLS is spoken at {place.authority}", reason_of(error), mend)
    mend = "Browsers want TLS 1.2 or later: nginx, ssl_protocols TLSv1.2 TLSv1.3;"
    return wrong("tls", f"no TLS connection to {place.authority}", reason_of(error), mend)


def _about_tls(sock: ssl.SSLSocket) -> Iterator[Finding]:
    certificate = sock.getpeercert() or {}
    version = sock.version() or "TLS"
    ends = certificate.get("notAfter")
    left = (ssl.cert_time_to_seconds(ends) - time.time()) / 86_400 if isinstance(ends, str) else None
    if left is not None and left < SOON_DAYS:
        mend = "Renew it, and see why that does not happen by itself: certbot renew --dry-run."
        yield warning("certificate", f"the certificate ends in {left:.0f} days", f"{ends}", mend)
    else:
        days = "" if left is None else f"{left:.0f} days left"
        yield ok("certificate", "the certificate is for this host and trusted", days)
    if version in ("TLSv1", "TLSv1.1"):
        yield warning("tls", f"{version} is out of date", "", "nginx: ssl_protocols TLSv1.2 TLSv1.3;")
    else:
        yield ok("tls", f"{version} is spoken")


def _about_plain_http(case: Case) -> Iterator[Finding]:
    place = case.place
    if place.port != 443:
        return
    plain = replace(place, scheme="http", port=80)
    try:
        sock = dial(plain, case.cacert, min(case.timeout, ADDRESS_SECONDS))
        with Flow(sock, plain, "GET", f"{plain.path}/") as flow:
            answer = flow.whole(case.timeout)
    except (OSError, http.client.HTTPException):
        yield ok("redirect", "plain http is not served")
        return
    if answer.header("location").startswith("https://"):
        yield ok("redirect", "plain http leads to https")
    elif answer.status == 200:
        what = "plain http is served, too, where everybody on the way reads along"
        yield warning("plain_http", what, answer.told, mends.REDIRECT_HTTP)
    else:
        yield note("plain_http", "plain http answers, but does not lead to https", answer.told)
