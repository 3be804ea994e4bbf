"""The Django app in a small project: `pytest tests/djangoapp`. HOOKBOX_TEST_POSTGRES=HOST uses PostgreSQL there."""

import os
import sys
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"


def pytest_configure(config):
    django.setup()
    config.pluginmanager.import_plugin("sending_house")  # fixtures, which need a Django that is set up
