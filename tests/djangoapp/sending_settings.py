"""The project with a database that several processes use; HOOKBOX_TEST_DB says which."""

import os

from project.settings import *  # noqa: F403
from project.settings import DATABASES

DATABASES["default"]["NAME"] = os.environ["HOOKBOX_TEST_DB"]
HOOKBOX_URL = os.environ["HOOKBOX_TEST_URL"]
HOOKBOX_API_SECURITY_TOKEN = "test-token"
del DATABASES["other"]
HOOKBOX_TIMEOUT = 30  # where a test makes one process wait for another
