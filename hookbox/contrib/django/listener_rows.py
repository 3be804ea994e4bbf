"""A listener as the list shows it."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from hookbox.contrib.django.forms import described
from hookbox.contrib.django.models import Listener
from hookbox.contrib.django.registry import hooks


@dataclass(frozen=True, slots=True)
class Row:
    """A listener for people.

    Args:
        conditions: which events it wants, a `label`, `words` and a `text` for each; none if it wants all.
        state: "ok", "new", "failing" or "off".
        word: the state for people.
        why: what there is to say about it; may be empty.
        changeable: whether whoever looks at it may change it, given the permission.
    """

    listener: Listener
    label: str
    conditions: list[dict[str, str]]
    state: str
    word: str
    why: str
    changeable: bool


def row(listener: Listener, *, changeable: bool) -> Row:
    """See `Row`."""
    hook = hooks.get(listener.hook)
    label = str(hook.verbose_name) if hook else listener.hook
    return Row(listener, label, described(hook, listener.match), *_state(listener, hook), changeable)


def _state(listener: Listener, hook: object) -> tuple[str, str, str]:
    if hook is None:
        return "off", _("No such event"), _("No hook is registered under this name any more.")
    if not listener.active:
        return "off", _("Off"), _reason(listener.disabled_reason)
    if listener.failures:
        times = _("%(count)d failures in a row") % {"count": listener.failures}
        last = _("the last: %(status)s") % {"status": listener.last_status}
        return "failing", _("Failing"), f"{times}, {last}" if listener.last_status else times
    if listener.last_success_at:
        return "ok", _("Active"), ""
    return "new", _("Active"), _("Nothing to tell yet")


def _reason(reason: str) -> str:
    return _("It answered 410: it wants no more events.") if reason == "410" else reason
