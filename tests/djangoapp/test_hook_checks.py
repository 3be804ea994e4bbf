"""What `manage.py check` says about hooks and their way out."""

import pytest
from django.core.checks import registry, run_checks
from django.core.management import call_command
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import signals
from project.library.models import Person

from hookbox.contrib.django import hook_checks
from hookbox.contrib.django.event import Hook, ModelHook
from hookbox.contrib.django.registry import AlreadyRegistered, hooks


def found(check, **kwargs):
    return [message.id for message in check(**kwargs)]


def test_the_project_of_the_tests_has_nothing_to_say():
    ours = {message.id for message in run_checks() if str(message.id).startswith("hookbox.")}
    assert not ours & {"hookbox.W004", "hookbox.E002", "hookbox.E003", "hookbox.W005"}


def test_django_runs_them():
    ours = {
        hook_checks.check_hooks,
        hook_checks.check_names,
        hook_checks.check_backend,
        hook_checks.check_outbox,
    }
    assert ours <= set(registry.registry.get_checks())
    assert hook_checks.check_outbox.tags == ("database",)  # so that it asks the database only when told to


def test_a_hook_that_sends_every_field_is_warned_of(register):
    class Careful(ModelHook):
        provides_args = ("name",)

    register(ModelHook(Person, name="fine", provides_args=["name"]))
    register(ModelHook(Person, name="serialized", serializer=lambda person: {}))
    register(Careful(Person, name="careful"))
    assert found(hook_checks.check_hooks) == []
    hook = register(ModelHook(Person, signals.post_save, name="everything"))
    (warning,) = hook_checks.check_hooks()
    assert warning.id == "hookbox.W004"
    assert "everything" in warning.msg
    assert "library.Person" in warning.msg
    assert warning.obj is hook


def test_two_hooks_with_one_name_are_an_error(register):
    register(Hook("one"))
    assert found(hook_checks.check_names) == []
    with pytest.raises(AlreadyRegistered):
        hooks.register(Hook("one"))
    (error,) = hook_checks.check_names()
    assert (error.id, "one" in error.msg) == ("hookbox.E002", True)


def test_the_name_of_anothers_tests_is_an_error(register):
    register(Hook("one"))
    register(Hook("one.test"))
    assert found(hook_checks.check_names) == ["hookbox.E002"]


def test_a_connected_hook_with_the_name_of_another_is_an_error(register):
    class Other(ModelHook):
        pass

    register(ModelHook(Person, signals.post_save, name="one"))
    throw_away = ModelHook(Person, signals.post_save, name="one")
    assert found(hook_checks.check_names) == []
    other = Other(Person, signals.post_delete, name="one")
    assert found(hook_checks.check_names) == ["hookbox.E002"]
    del throw_away, other


class Backend:
    def send(self, jobs):
        return []


@pytest.mark.parametrize("backend", ["hookbox", "celery", "local", f"{__name__}.Backend"])
def test_a_backend_that_is_there_is_fine(settings, backend):
    settings.HOOKBOX_HOOK_BACKEND = backend
    assert found(hook_checks.check_backend) == []


@pytest.mark.parametrize(
    "backend", ["pigeon", "no.such.module", f"{__name__}.Nothing", f"{__name__}.pytest", None, 3]
)
def test_an_unknown_backend_is_an_error(settings, backend):
    settings.HOOKBOX_HOOK_BACKEND = backend
    (error,) = hook_checks.check_backend()
    assert error.id == "hookbox.E003"
    assert "hookbox, celery, local" in error.hint


def test_celery_that_is_not_installed_is_an_error(settings, monkeypatch):
    settings.HOOKBOX_HOOK_BACKEND = "celery"
    monkeypatch.setattr(hook_checks, "find_spec", lambda name: None)
    (error,) = hook_checks.check_backend()
    assert "Celery is not installed" in error.msg


@pytest.mark.django_db(databases=["default", "other"])
def test_an_outbox_without_its_table_is_warned_of(settings):
    both = ["default", "other"]
    assert found(hook_checks.check_outbox, databases=both) == []
    assert found(hook_checks.check_outbox, databases=None) == []
    MigrationRecorder(connections["other"]).record_unapplied("hookbox", "0001_initial")
    (warning,) = hook_checks.check_outbox(databases=both)
    assert warning.id == "hookbox.W005"
    assert "'other'" in warning.msg
    settings.DATABASE_ROUTERS = [f"{__name__}.OnlyDefault"]
    assert found(hook_checks.check_outbox, databases=both) == []
    settings.DATABASE_ROUTERS = []
    settings.HOOKBOX_OUTBOX = False
    assert found(hook_checks.check_outbox, databases=both) == []


@pytest.mark.django_db
def test_a_database_in_which_nothing_is_yet_needs_no_warning(monkeypatch):
    monkeypatch.setattr(MigrationRecorder, "has_table", lambda self: False)
    assert found(hook_checks.check_outbox, databases=["default"]) == []


class OnlyDefault:
    def allow_migrate(self, db, app_label, **hints):
        return db == "default"


def test_without_databases_no_database_is_asked():
    call_command("check")  # pytest-django lets no query through here
