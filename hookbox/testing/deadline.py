"""How long a test waits for anything."""

import os

DEADLINE = float(os.environ.get("HOOKBOX_TEST_DEADLINE", "10"))
"""Seconds that any wait may take before it counts as a failure."""
