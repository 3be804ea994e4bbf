"""The Django app in a small project: `pytest tests/djangoapp`. HOOKBOX_TEST_POSTGRES=HOST uses PostgreSQL there."""

import os
import sys
from pathlib import Path

import django
import pytest

from tests.browsing import real_browser

sys.path.insert(0, str(Path(__file__).parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"

collect_ignore = []
if "HOOKBOX_TEST_DJANGO" in os.environ:  # an older one; these are about the command, the worker, the manual and the
    # example, which all have the newest, and are a third of the time
    collect_ignore += [
        f"test_{name}.py" for name in ("runhookbox", "sending_celery", "docs_tutorial", "django_chat")
    ]


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


@pytest.fixture(scope="module")
def browser():
    """A real browser, gone before other modules begin: Django refuses much in a thread with a loop."""
    with pytest.MonkeyPatch.context() as patch, real_browser() as chromium:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield chromium


@pytest.fixture
def person_hook(register):
    """A registered hook about `Person`: its name and address, and how old it is."""
    from django.db.models import signals
    from project.library.models import Person

    from hookbox.contrib.django.event import ModelHook

    return register(
        ModelHook(
            name="person",
            verbose_name="A person has changed",
            model=Person,
            signal=signals.post_save,
            provides_args=["name", "address", "age"],
        )
    )


@pytest.fixture
def order_hook(register):
    """A registered hook about nothing in the database."""
    from hookbox.contrib.django.event import Hook

    return register(Hook(name="order.paid", verbose_name="An order was paid", provides_args=["total", "customer"]))


@pytest.fixture
def user_with(django_user_model):
    """Make a user with permissions on listeners: `user_with("ann", "add", "change", is_staff=True)`."""
    from django.contrib.auth.models import Permission

    def make(name, *verbs, **fields):
        user = django_user_model.objects.create_user(name, password="secret", **fields)
        names = [verb if "_" in verb else f"{verb}_listener" for verb in verbs]
        found = Permission.objects.filter(content_type__app_label="hookbox", codename__in=names)
        assert len(found) == len(names)
        user.user_permissions.set(found)
        return user

    return make
