"""The registry of hooks, and how a project's hooks get into it."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.utils.translation import gettext_lazy

from hookbox.contrib.django.event import Hook
from hookbox.contrib.django.registry import AlreadyRegistered, HookRegistry, NotRegistered, hooks


class Signup(Hook):
    name = "signup"
    verbose_name = gettext_lazy("zealous signup")


@pytest.fixture
def registry():
    return HookRegistry()


def test_instances_and_classes_are_registered_and_returned(registry):
    other = Hook("other")
    assert registry.register(other) is other
    assert registry.register(Signup) is Signup
    assert registry["other"] is other
    assert isinstance(registry.get_hook("signup"), Signup)
    assert "signup" in registry
    assert registry.get("nope") is None
    assert list(registry) == ["other", "signup"]
    assert len(registry) == 2
    assert registry.get_all() == {"other": other, "signup": registry["signup"]}


def test_it_decorates_classes(registry):
    @registry.register
    class Decorated(Hook):
        name = "decorated"

    assert Decorated.name == "decorated"
    assert isinstance(registry["decorated"], Decorated)


def test_the_same_again_is_no_error(registry):
    hook = Hook("one")
    registry.register(hook)
    registry.register(hook)
    registry.register(Signup)
    there = registry["signup"]
    registry.register(Signup)
    assert registry["signup"] is there


def test_another_hook_of_the_same_name_is_refused(registry):
    registry.register(Signup)
    there = registry["signup"]
    for another in (Hook("signup"), Signup(), type("Signup2", (Signup,), {})):
        with pytest.raises(AlreadyRegistered, match="'signup' already"):
            registry.register(another)
    assert registry["signup"] is there


def test_a_hook_is_forgotten_by_name_itself_or_class(registry):
    hook = Hook("one")
    for what in ("one", hook):
        registry.register(hook)
        registry.unregister(what)
        assert "one" not in registry
    registry.register(Signup)
    registry.unregister(Signup)
    assert not registry
    for what in ("one", hook, Signup):
        with pytest.raises(NotRegistered, match="is registered"):
            registry.unregister(what)


def test_a_hook_that_is_not_there_is_told(registry):
    for look in (registry.get_hook, registry.__getitem__):
        with pytest.raises(NotRegistered, match="no hook 'nope' is registered"):
            look("nope")
    with pytest.raises(KeyError):
        registry["nope"]
    assert registry.NotRegistered is NotRegistered
    assert registry.AlreadyRegistered is AlreadyRegistered


def test_choices_are_sorted_by_what_people_see(registry):
    registry.register(Signup)
    registry.register(Hook("b", verbose_name="apple"))
    registry.register(Hook("a", verbose_name="Pear"))
    assert [(name, str(text)) for name, text in registry.as_choices()] == [
        ("b", "apple"),
        ("a", "Pear"),
        ("signup", "zealous signup"),
    ]


def test_modules_called_hooks_are_found():
    assert "library.borrowed" in hooks


PROJECT = """
import django
from django.conf import settings
settings.configure(SECRET_KEY="x", INSTALLED_APPS=[{first}"django.contrib.contenttypes", "django.contrib.auth", "hookbox.contrib.django"{last}],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "/nowhere/at/all"}}}})
django.setup()
{then}
"""


def run(directory, then, first="", last=""):
    script = PROJECT.format(then=then, first=first, last=last)
    return subprocess.run(
        [sys.executable, "-c", script], cwd=directory, capture_output=True, text=True, env=environment()
    )


def environment():
    import os

    return {**os.environ, "DJANGO_SETTINGS_MODULE": ""}


@pytest.fixture
def shop(tmp_path):
    """An app whose hook is made beside its model, before there are any models."""
    app = tmp_path / "shop"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "models.py").write_text(
        "from django.db import models\n"
        "from django.db.models.signals import post_save\n"
        "from hookbox.contrib.django.hook import ModelHook\n"
        "from hookbox.contrib.django.registry import hooks\n"
        "@hooks.register\n"
        "class OrderHook(ModelHook):\n"
        "    name = 'order'\n"
        "    model = 'shop.Order'\n"
        "    signal = post_save\n"
        "early = ModelHook('auth.User', post_save, name='early')\n"
        "class Order(models.Model):\n"
        "    total = models.IntegerField()\n"
    )
    return tmp_path


@pytest.mark.parametrize("place", ["first", "last"])
def test_late_models_are_found_and_starting_asks_no_database(shop, place):
    app = {"first": '"shop", '} if place == "first" else {"last": ', "shop"'}
    then = (
        "from hookbox.contrib.django.registry import hooks\n"
        "from hookbox.contrib.django.event.outlets import connected\n"
        "from shop.models import Order, early\n"
        "hook = hooks['order']\n"
        "assert hook.model is Order and hook.provides_args == ('total',), hook.provides_args\n"
        "assert early.model.__name__ == 'User'\n"
        "assert set(connected()) == {hook, early}, connected()\n"
    )
    done = run(shop, then, **app)
    assert done.returncode == 0, done.stderr


def test_a_late_model_that_does_not_exist_is_told_at_the_start(shop):
    models = shop / "shop" / "models.py"
    models.write_text(models.read_text().replace("shop.Order", "shop.Odor"))
    done = run(shop, "", last=', "shop"')
    assert "ImproperlyConfigured: hook order: no model 'shop.Odor'" in done.stderr


def test_the_modules_can_be_imported_before_django_is_set_up():
    root = Path(__file__).parents[2]
    names = "match, match.able, match.strategy, event, hook, registry, builder, payload, test".split(", ")
    script = ";".join(f"import hookbox.contrib.django.{name}" for name in names)
    script += ";import sys; assert 'gevent' not in sys.modules and 'bottle' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, env=environment()
    )
    assert done.returncode == 0, done.stderr
