"""What Django's signals call: one outlet for each signal, sender and name of a hook.

A signal has to reach a hook exactly once, however many instances of its class come and go: the registered
one, or else one that somebody still holds. Bound methods as weak receivers cannot do that: an instance that
is thrown away takes the connection along.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from django.dispatch import Signal

if TYPE_CHECKING:
    from hookbox.contrib.django.event.signal import SignalHook

Uid = tuple[str, str, int, str]


class Outlet:
    """A receiver that passes a signal on to one hook.

    Args:
        registered: held strongly.
        others: instances that are not registered, as long as somebody else holds them.
    """

    def __init__(self, signal: Signal, sender: Any, uid: Uid) -> None:
        self.signal, self.sender, self.uid = signal, sender, uid
        self.registered: SignalHook | None = None
        self.others: list[weakref.ref[SignalHook]] = []

    def __call__(self, sender: Any, **arguments: Any) -> None:
        """Hear the signal."""
        if alive := self.alive():
            alive[0].receive(sender, **arguments)
        else:
            self.close()

    def alive(self) -> list[SignalHook]:
        """The hooks behind it, the registered one first."""
        others = [hook for each in self.others if (hook := each()) is not None]
        return [self.registered, *others] if self.registered else others

    def add(self, hook: SignalHook, *, strong: bool) -> None:
        """Put a hook behind it."""
        if strong:
            self.registered = hook
        elif all(each is not hook for each in self.alive()):
            self.others = [each for each in self.others if each() is not None]
            self.others.append(weakref.ref(hook))

    def remove(self, hook: SignalHook) -> None:
        """Take a hook away; without any it is closed."""
        if self.registered is hook:
            self.close()  # with all others of its name: it was unregistered
            return
        self.others = [each for each in self.others if each() not in (None, hook)]
        if not self.alive():
            self.close()

    def close(self) -> None:
        """Hear the signal no longer."""
        self.registered, self.others = None, []
        self.signal.disconnect(sender=self.sender, dispatch_uid=self.uid)
        _outlets.pop((self.uid, id(self.sender)), None)


_outlets: dict[tuple[Uid, int], Outlet] = {}


def connect(hook: SignalHook, signal: Signal, sender: Any, *, strong: bool) -> None:
    """Have a signal reach a hook."""
    uid = uid_of(hook, signal, sender)
    outlet = _outlets.get((uid, id(sender)))
    if outlet is None:
        outlet = _outlets[uid, id(sender)] = Outlet(signal, sender, uid)
        signal.connect(outlet, sender=sender, weak=False, dispatch_uid=uid)
    outlet.add(hook, strong=strong)


def disconnect(hook: SignalHook, signal: Signal, sender: Any) -> None:
    """No longer have it reach the hook."""
    if outlet := _outlets.get((uid_of(hook, signal, sender), id(sender))):
        outlet.remove(hook)


def connected() -> list[SignalHook]:
    """All hooks that a signal can reach, or could if there were no other of their name."""
    return [hook for outlet in _outlets.values() for hook in outlet.alive()]


def uid_of(hook: SignalHook, signal: Signal, sender: Any) -> Uid:
    """Under which a signal knows a hook."""
    return ("hookbox", hook.name, id(signal), _label(sender))


def _label(sender: Any) -> str:
    if sender is None:
        return ""
    meta = getattr(sender, "_meta", None)
    return str(meta.label) if meta is not None else f"{type(sender).__qualname__}:{sender!r}"
