"""When a hook is sent: at once, or with the commit of what it is about."""

import logging

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.db.models import signals
from django.dispatch import Signal
from project.library.models import Person

from hookbox.contrib.django import listening
from hookbox.contrib.django.event import Hook, ModelHook, SignalHook, WebhookSignal
from hookbox.contrib.django.models import Listener
from hookbox.contrib.django.registry import hooks
from hookbox.contrib.django.sending import road
from hookbox.contrib.django.sending.jobs import SendResult
from hookbox.contrib.django.sending.lookup import with_secrets


@pytest.fixture
def asked(monkeypatch):
    """Jobs that the road was given, each with whether it has to wait for the commit."""
    asked = []

    def send(job, listeners, *, on_commit, **how):
        asked.append((job, on_commit))
        return [SendResult(each, "queued", job.id) for each in listeners]

    monkeypatch.setattr(road, "send", send)
    return asked


@pytest.mark.django_db
@pytest.mark.parametrize("setting", [True, False])
@pytest.mark.parametrize("given", [None, True, False])
def test_hooks_of_signals_wait_as_they_or_the_project_say(asked, settings, setting, given, register):
    settings.HOOKBOX_ON_COMMIT = setting
    bell = Signal()
    register(SignalHook(bell, name="s", topic="t", on_commit=given))
    register(ModelHook(Person, signals.post_save, name="m", topic="t", on_commit=given))
    bell.send(sender=None)
    Person.objects.create(name="Joe")
    assert [waits for _, waits in asked] == [setting if given is None else given] * 2


@pytest.mark.django_db
@pytest.mark.parametrize(("given", "waits"), [(None, False), (True, True), (False, False)])
def test_other_hooks_are_sent_at_once_unless_they_say_otherwise(asked, settings, given, waits):
    settings.HOOKBOX_ON_COMMIT = True
    Hook("h", topic="t", on_commit=given).send(None)
    assert asked[0][1] is waits


@pytest.mark.django_db(databases=["default", "other"])
def test_the_commit_is_that_of_the_database_which_the_signal_names(asked, register):
    register(ModelHook(Person, signals.post_save, name="m", topic="t"))
    Person.objects.using("other").create(name="Joe")
    Person.objects.create(name="Jim")
    Hook("h", topic="t").send(None, using="other")  # for a plain hook this is an argument as any other
    assert [job.using for job, _ in asked] == ["other", "default", "default"]


def told_of_a_row_in_other(asked):
    asked.clear()
    Person.objects.using("other").create(name="Joe")
    return [target.url for job, _ in asked for target in job.targets]


@pytest.fixture
def in_both(register, monkeypatch):
    """A hook with a listener in each database."""
    monkeypatch.setattr(listening, "_have_listeners", set())
    hook = register(ModelHook(Person, signals.post_save, name="m"))
    for using in ("default", "other"):
        Listener.objects.using(using).create(hook="m", url=f"https://{using}.example/")
    return hook


@pytest.mark.django_db(databases=["default", "other"])
def test_the_listeners_are_those_of_the_database_in_which_it_happens(asked, in_both):
    assert told_of_a_row_in_other(asked) == ["https://other.example/"]
    assert told_of_a_row_in_other(asked) == ["https://other.example/"]
    in_both.send(Person, instance=Person.objects.using("other").get(pk=1))  # by hand, too
    assert [target.url for target in asked[-1][0].targets] == ["https://other.example/"]
    asked.clear()
    Person.objects.create(name="Joe")
    assert [target.url for target in asked[0][0].targets] == ["https://default.example/"]
    in_both.test(Listener.objects.using("other").get())
    assert asked[-1][0].using == "other"


class OnlyDefault:
    def allow_migrate(self, db, app_label, **hints):
        return db == "default"


@pytest.mark.django_db(databases=["default", "other"])
def test_where_a_database_has_no_listeners_the_usual_ones_are_told(asked, in_both, settings, monkeypatch):
    settings.DATABASE_ROUTERS = [f"{__name__}.OnlyDefault"]
    assert told_of_a_row_in_other(asked) == ["https://default.example/"]
    assert [each.url for each in with_secrets(asked[0][0])[0].targets] == ["https://default.example/"]
    settings.DATABASE_ROUTERS = []
    monkeypatch.setattr(connections["other"].introspection, "table_names", list)
    assert told_of_a_row_in_other(asked) == ["https://default.example/"]


@pytest.mark.django_db
def test_payload_and_listeners_are_those_of_the_moment_of_the_signal(asked, register):
    hook = register(ModelHook(Person, signals.post_delete, name="m", provides_args=["pk", "name"]))
    hook.listener(url="https://x.example/").match(name="Joe").save()
    joe = Person.objects.create(name="Joe")
    key = joe.pk
    with transaction.atomic():
        joe.delete()
        joe.name = "Changed"
        hook.listener(url="https://late.example/").save()
    job = asked[0][0]
    assert f'"pk":{key}' in job.body
    assert '"name":"Joe"' in job.body
    assert [target.url for target in job.targets] == ["https://x.example/"]


class Told(WebhookSignal):
    urls: list = []
    fails = False

    def run(self, url, payload, **kwargs):
        self.urls.append(url)
        if self.fails:
            raise OSError("no")

    apply_async = WebhookSignal.__dict__["apply"]


@pytest.fixture
def told(register):
    """A model's hook with a task of its own, which waits for the commit, too."""
    hook = register(ModelHook(Person, signals.post_save, name="m", task_cls=Told))
    hook.listener(url="https://x.example/").secret("").save()
    yield Told.urls
    Told.urls.clear()
    Told.fails = False


class Stop(Exception):
    pass


@pytest.mark.django_db(transaction=True)
def test_a_task_of_ones_own_is_called_after_the_commit(told):
    with transaction.atomic():
        Person.objects.create(name="Joe")
        assert told == []
    assert told == ["https://x.example/"]
    Person.objects.create(name="Jim")  # with no transaction around it
    assert len(told) == 2


@pytest.mark.django_db(transaction=True)
def test_after_a_rollback_nothing_is_sent_and_what_was_saved_around_it_is(told):
    with pytest.raises(Stop), transaction.atomic():
        Person.objects.create(name="Joe")
        raise Stop
    assert told == []
    with transaction.atomic():
        Person.objects.create(name="Jim")
        with pytest.raises(Stop), transaction.atomic():
            Person.objects.create(name="Joe")
            raise Stop
    assert len(told) == 1


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_a_task_of_ones_own_waits_for_the_right_database(told):
    hooks["m"].listener(url="https://x.example/").save(using="other")
    with transaction.atomic(), transaction.atomic(using="other"):
        Person.objects.using("other").create(name="Joe")
    assert len(told) == 1
    with transaction.atomic():
        Person.objects.using("other").create(name="Joe")
        assert len(told) == 2
        with transaction.atomic(using="other"):
            Person.objects.using("other").create(name="Joe")
        assert len(told) == 3


@pytest.mark.django_db(transaction=True)
def test_a_failure_after_the_commit_breaks_neither_the_request_nor_other_callbacks(told, caplog):
    Told.fails, ran = True, []
    with caplog.at_level(logging.ERROR), transaction.atomic():
        Person.objects.create(name="Joe")
        transaction.on_commit(lambda: ran.append(1))
    assert told
    assert ran == [1]
    assert "could not be sent to" in caplog.text
    assert not User.objects.exists()
