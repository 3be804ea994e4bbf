"""The commands that call a running server: `hookbox publish`, `hookbox dispatch`, `hookbox deliveries`.

`hookbox check` and `hookbox doctor` look at an application, and at a server from outside.

Nothing here is imported by the server, and nothing here patches anything.
"""

from __future__ import annotations

from typing import Final

COMMANDS: Final = ("publish", "dispatch", "deliveries", "check", "doctor")
"""Their names."""
