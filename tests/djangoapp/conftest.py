"""The Django app in a small project: `pytest tests/djangoapp`. HOOKBOX_TEST_POSTGRES=HOST uses PostgreSQL there."""

import os
import sys
from pathlib import Path

import django
import pytest

sys.path.insert(0, str(Path(__file__).parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"


def pytest_configure(config):
    django.setup()
    config.pluginmanager.import_plugin("sending_house")  # fixtures, which need a Django that is set up


@pytest.fixture
def register():
    """Registers hooks, for this test only."""
    from hookbox.contrib.django.registry import hooks

    before = hooks.get_all()

    def registered(hook):
        hooks.register(hook)
        return next(each for each in hooks.values() if each is hook or type(each) is hook)

    yield registered
    for name in hooks.get_all().keys() - before.keys():
        hooks.unregister(name)
    hooks.refused.clear()
