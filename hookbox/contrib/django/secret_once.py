"""A listener's new secret, which its owner sees once."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpRequest

from hookbox.contrib.django.models import Listener
from hookbox.webhooks.signing import Secret

_KEY = "hookbox-new-secret"


def remember(request: HttpRequest, listener: Listener) -> None:
    """Have the next page that asks show this listener's secret; the session has only its name."""
    if listener.secret:
        request.session[_KEY] = str(listener.uuid)


def take(request: HttpRequest, among: QuerySet[Listener]) -> Listener | None:
    """The listener whose secret is to be shown now, and not again; if it is among these."""
    if request.method != "GET" or _KEY not in request.session:
        return None
    found = among.filter(uuid=request.session[_KEY]).first()
    if found is not None:
        del request.session[_KEY]
    return found


def rotate(request: HttpRequest, listener: Listener) -> None:
    """Give a listener a new secret in place of the old one, to be shown once."""
    listener.secret = str(Secret.new())
    listener.save(update_fields=["secret", "updated_at"])
    remember(request, listener)


def masked(secret: str) -> str:
    """A secret of which only the end can be read."""
    return f"{'•' * 12}{secret[-4:]}" if len(secret) > 12 else "•" * 12 if secret else ""
