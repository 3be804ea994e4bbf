"""What can go wrong for who calls a server from the command line; the text says what to do."""

from __future__ import annotations

from hookbox.errors import HookboxError

REFUSED = 1
USAGE = 2
UNREACHABLE = 3
INTERRUPTED = 130


class ToolError(HookboxError):
    """The command cannot do what it was asked.

    Args:
        exit_code: of the process.
    """

    def __init__(self, message: str, exit_code: int = REFUSED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Unreachable(ToolError):
    """The server does not answer."""

    def __init__(self, message: str) -> None:
        super().__init__(message, UNREACHABLE)
