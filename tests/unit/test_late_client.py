"""The webhook client is made late, but what is wrong with its settings is told at once."""

import subprocess
import sys

import pytest

from hookbox.clock import ManualClock
from hookbox.errors import ConfigError
from hookbox.settings import Settings
from hookbox.webhooks.late import LateClient


def test_a_server_listens_before_it_has_loaded_what_webhooks_stand_on():
    code = "import sys, hookbox.cli, hookbox.log, hookbox.server, hookbox.web.front; print('requests' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stdout + done.stderr


def test_a_callback_that_is_no_url_is_told_at_the_start():
    with pytest.raises(ConfigError, match="cb_single_url"):
        LateClient(Settings(cb_single_url="nonsense"), ManualClock())


def test_counters_are_there_before_the_first_question():
    assert LateClient(Settings(), ManualClock()).counts()["asked"] == 0
