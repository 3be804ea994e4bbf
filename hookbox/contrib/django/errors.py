"""What can go wrong between Django and Hookbox, and how a callback says no.

Exception
  HookboxError        a call to the server failed
  DeliveryFailed      a webhook could not be delivered while its sender waited
  Deny                raised by signal receivers and callbacks: the user may not
"""

from __future__ import annotations

from typing import Any


class HookboxError(Exception):
    """A call to the Hookbox server failed.

    Args:
        text: what went wrong, and what to do.
        code: HTTP status of the answer; None when none came.
        result: the object of the answer; empty when there is none.
        timeout: whether the server took too long.
    """

    def __init__(
        self,
        text: str,
        *,
        code: int | None = None,
        result: dict[str, Any] | None = None,
        timeout: bool = False,
    ) -> None:
        super().__init__(text)
        self.code = code
        self.result = result or {}
        self.timeout = timeout


class DeliveryFailed(Exception):
    """A webhook that is sent while its sender waits has not arrived.

    Args:
        text: to whom, and why not.
        status: of the last answer; None when none came.
    """

    def __init__(self, text: str, *, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class Deny(Exception):
    """Raised by a signal receiver or a callback to refuse; its text is shown to the user."""
