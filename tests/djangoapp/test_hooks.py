"""Hooks: how one is told what it is, what it sends, and to whom."""

import asyncio
import json
import logging

import pytest
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.utils.translation import gettext_lazy

from hookbox.contrib.django import event, hook, tasks
from hookbox.contrib.django.errors import DeliveryFailed
from hookbox.contrib.django.event import Hook, WebhookSignal
from hookbox.contrib.django.match import Is, Startswith, Text
from hookbox.contrib.django.models import Listener
from hookbox.contrib.django.payload import NotJSON
from hookbox.contrib.django.sending import road
from hookbox.contrib.django.sending.jobs import SendResult
from hookbox.contrib.django.test import capture_hooks

URL = "https://where.joe/is/listening"


@pytest.fixture
def sent():
    with capture_hooks() as sent:
        yield sent


@pytest.fixture
def asked(monkeypatch):
    """How the road was asked to send, in place of sending."""
    asked = []

    def send(job, listeners, **how):
        asked.append((job, how))
        return [SendResult(each, "accepted", job.id) for each in listeners]

    monkeypatch.setattr(road, "send", send)
    return asked


# --- what a hook is


def test_both_modules_have_the_same_names():
    assert set(event.__all__) == set(hook.__all__)
    assert all(getattr(event, name) is getattr(hook, name) for name in event.__all__)


def test_an_instance_without_provides_args():
    assert Hook(name="x").provides_args == ()


def test_what_is_not_said_is_as_documented():
    made = Hook()
    assert made.name == "hookbox.contrib.django.event.base.Hook"
    assert made.verbose_name == made.name
    assert (made.timeout, made.async_, made.retry, made.max_retries, made.fail_silently) == (
        4,
        True,
        False,
        3,
        False,
    )
    assert (made.on_commit, made.envelope, made.topic, made.task_cls) == (None, None, None, WebhookSignal)


def test_the_name_is_that_of_module_and_class_unless_given():
    class Signup(Hook):
        pass

    assert Signup().name == f"{__name__}.Signup"
    assert Signup("signup").name == "signup"


def test_a_class_says_what_its_instances_are_and_arguments_come_first():
    class Loud(Hook):
        name = "loud"
        verbose_name = gettext_lazy("Loud one")
        fail_silently = True
        timeout = 9
        provides_args = ["b", "a", "b"]

    made = Loud()
    assert (made.fail_silently, made.timeout, made.provides_args) == (True, 9, ("b", "a"))
    assert str(made.verbose_name) == "Loud one"
    made = Loud(fail_silently=False, timeout=0, provides_args=None, name=None)
    assert (made.fail_silently, made.timeout, made.provides_args, made.name) == (False, 0, ("b", "a"), "loud")


def test_the_keyword_that_python_took_away_is_understood():
    class Old(Hook):
        async_ = True

    assert Hook(**{"async": False}).async_ is False
    assert Hook(**{"async": None}).async_ is True
    assert Hook(**{"async": False, "async_": False}).async_ is False
    with pytest.raises(TypeError, match="same argument"):
        Hook(**{"async": False, "async_": True})
    assert type("Made", (Hook,), {"async": False})().async_ is False
    setattr(Old, "async", False)
    assert Old().async_ is True  # both in one class: the name that can be read wins
    assert type("Later", (Old,), {"async": False})().async_ is False
    assert type("Newest", (type("Made", (Hook,), {"async": False}),), {"async_": True})().async_ is True
    assert type("Made", (Hook,), {"async": False})(async_=True).async_ is True


def test_a_class_attribute_literally_called_async_that_was_set_later():
    class Old(Hook):
        pass

    setattr(Old, "async", False)
    assert Old().async_ is False


def test_an_unknown_keyword_is_an_error():
    with pytest.raises(TypeError, match="unexpected keyword argument 'asink'; there are async_"):
        Hook(name="x", asink=True)


def test_names_in_a_set_are_sorted_and_a_single_text_is_a_mistake():
    assert Hook(provides_args={"b", "a"}).provides_args == ("a", "b")
    with pytest.raises(TypeError, match=r"write \['name'\]"):
        Hook(provides_args="name")


@pytest.mark.parametrize("name", ["has space", "ä", "x" * 121, "a/b", "a\n"])
def test_a_name_that_cannot_be_sent_as_a_header_is_refused(name):
    with pytest.raises(ImproperlyConfigured, match="hook name"):
        Hook(name=name)


def test_an_unknown_envelope_is_refused():
    with pytest.raises(ImproperlyConfigured, match="envelope"):
        Hook(envelope="fancy")


# --- what it sends


@pytest.mark.django_db
def test_only_listeners_that_match_are_told(sent):
    hook = Hook(name="person", provides_args=["name"])
    joe = hook.listener(url=URL).match(name="Joe").save()
    hook.listener(url="https://other.example/").match(name="Simon").save()
    everything = hook.listener(url="https://all.example/").save()
    Hook(name="another").listener(url=URL).save()
    results = hook.send(sender=None, name="Joe", address="foo")
    assert isinstance(results, list)
    assert [(each.listener, each.status, each.error) for each in results] == [
        (joe, "accepted", None),
        (everything, "accepted", None),
    ]
    assert results[0].message_id == sent[0].job.id
    assert len(sent) == 1
    assert sent[0].hook == "person"
    assert sent[0].payload == {"name": "Joe", "address": "foo"}
    assert sent[0].urls == [URL, "https://all.example/"]
    assert [target.listener for target in sent[0].job.targets] == [str(joe.uuid), str(everything.uuid)]


@pytest.mark.django_db
def test_sending_does_not_wait_for_somebody_to_look_at_the_result(sent):
    hook = Hook(name="person")
    hook.add_listener(URL)
    hook.send(None, a=1)  # nobody iterates: with a lazy map nothing would be sent
    assert len(sent) == 1


@pytest.mark.django_db
def test_without_listeners_nothing_is_sent(sent):
    assert Hook(name="person").send(None, a=1) == []
    assert len(sent) == 0


@pytest.mark.django_db
def test_a_listener_that_is_switched_off_is_not_told(sent):
    hook = Hook(name="person")
    listener = hook.listener(url=URL).save()
    Listener.objects.update(active=False)
    assert hook.send(None, a=1) == []
    assert hook.test(listener).status == "accepted"


@pytest.mark.django_db
def test_a_job_says_how_the_hook_wants_to_be_sent(sent):
    hook = Hook(name="person", timeout=7.5, retry=True, max_retries=5)
    hook.listener(url=URL, headers={"X-Shop": "1"}, note="kept").save()
    hook.send(None, a="ä")
    job = sent[0].job
    assert (job.timeout, job.retry, job.max_retries, job.using, job.topic) == (7.5, True, 5, "default", "")
    assert job.targets[0].headers == {"X-Shop": "1"}
    assert job.body == '{"a":"ä"}'
    assert job == type(job).from_json(json.loads(json.dumps(job.to_json())))


@pytest.mark.django_db
def test_every_message_has_an_id_of_its_own(sent):
    hook = Hook(name="person")
    hook.add_listener(URL)
    hook.send(None)
    hook.send(None)
    assert sent[0].job.id != sent[1].job.id


@pytest.mark.django_db
def test_the_envelope_says_type_and_time_and_conditions_are_about_what_is_inside(sent):
    hook = Hook(name="person", envelope="standard")
    hook.listener(url=URL).match(name="Joe").save()
    hook.send(None, name="Joe")
    payload = sent[0].payload
    assert payload.keys() == {"type", "timestamp", "data"}
    assert payload["type"] == "person"
    assert payload["data"] == {"name": "Joe"}
    assert payload["timestamp"].endswith("Z")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "topic", ["people", lambda payload: f"people.{payload['name']}"], ids=["text", "function"]
)
def test_a_topic_is_published_on_with_or_without_listeners(sent, topic):
    hook = Hook(name="person", topic=topic)
    assert hook.send(None, name="joe") == []
    assert sent[0].topic in ("people", "people.joe")
    assert sent[0].urls == []


@pytest.mark.django_db
def test_topics_in_classes_may_be_functions_and_methods(sent):
    class Function(Hook):
        topic = lambda payload: payload["name"]  # noqa: E731

    class Method(Hook):
        def topic(self, payload):
            return payload["name"] + self.name[:1]

    class Static(Hook):
        @staticmethod
        def topic(payload):
            return payload["name"]

    for each in (Function("f"), Method("m"), Static("s")):
        each.send(None, name="joe")
    assert [each.topic for each in sent] == ["joe", "joem", "joe"]
    Hook("none", topic=lambda payload: None).send(None)
    assert len(sent) == 3


@pytest.mark.django_db
def test_subclasses_prepare_payloads_and_choose_listeners(sent):
    class Own(Hook):
        name = "own"

        def prepare_payload(self, sender, payload):
            return {"who": sender, **payload}

        def event_filter(self, sender, payload, match):
            assert payload["who"] == sender
            return super().event_filter(sender, payload, match) and payload["n"] > 1

    Own().listener(url=URL).match(who=Startswith("J")).save()
    assert Own().send("Joe", n=1) == []
    assert len(Own().send("Joe", n=2)) == 1
    assert Own().send("Moe", n=2) == []


@pytest.mark.django_db
def test_a_payload_may_have_an_argument_called_self(sent):
    hook = Hook("h", topic="t")
    hook.send(None, self=1)
    assert sent[0].payload == {"self": 1}


@pytest.mark.django_db
def test_a_condition_that_fails_holds_up_nobody_else(sent, caplog):
    class Fragile(Hook):
        def event_filter(self, sender, payload, match):
            return 1 / len(match) > 0

    hook = Fragile("fragile")
    Listener.objects.create(hook="fragile", url=URL, match={"a": {"$nope": 1}})
    Listener.objects.create(hook="fragile", url=URL, match={})
    good = hook.listener(url=URL).match(a=1).save()
    with caplog.at_level(logging.ERROR):
        assert [each.listener for each in hook.send(None, a=1)] == [good]
    assert caplog.text.count("it gets nothing") == 2


@pytest.mark.django_db
@pytest.mark.parametrize("config", [[1], "x", {"headers": None}, {"headers": [1]}, {"headers": "X: 1"}])
def test_a_configuration_that_was_stored_without_a_check_holds_up_nobody(sent, caplog, config):
    hook = Hook("h")
    bad = Listener.objects.create(hook="h", url=URL, config=config)
    good = hook.listener(url=URL, headers={"X-A": "1"}).save()
    assert [each.listener for each in hook.send(None)] == [good]
    assert [target.headers for target in sent[0].job.targets] == [{"X-A": "1"}]
    assert f"the config of listener {bad.uuid} cannot be used" in caplog.text


@pytest.mark.django_db
def test_what_cannot_be_json_is_told_by_name(sent, caplog):
    hook = Hook("h", topic="t")
    with pytest.raises(NotJSON, match="argument 'request' cannot be sent as JSON"):
        hook.send(None, name="Joe", request=object())
    with pytest.raises(NotJSON, match="argument 'n'"):
        hook.send(None, n=2**63)
    with pytest.raises(NotJSON, match="argument 'x'"):
        hook.send(None, x=float("nan"))
    with caplog.at_level(logging.ERROR):
        assert Hook("h", topic="t", fail_silently=True).send(None, request=object()) == []
    assert "hook h could not be sent" in caplog.text
    assert len(sent) == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({1, "a"}, [1, "a"]),
        (b"\x00\xff", "AP8="),
        (memoryview(b"\x00\xff"), "AP8="),
        (gettext_lazy("anything"), "anything"),
        ({"in": {"side": {2, 1}}}, {"in": {"side": [1, 2]}}),
        ((1, 2), [1, 2]),
    ],
    ids=["set", "frozenset", "mixed set", "bytes", "memoryview", "lazy text", "set inside", "tuple"],
)
def test_what_python_has_and_json_has_not(sent, value, plain):
    Hook("h", topic="t").send(None, value=value)
    assert sent[0].payload == {"value": plain}


@pytest.mark.django_db(transaction=True)
def test_it_can_be_sent_from_asynchronous_code(sent):
    hook = Hook("h", topic="t")
    assert asyncio.run(hook.asend(None, a=1)) == []
    assert sent[0].payload == {"a": 1}


@pytest.mark.django_db
def test_a_test_goes_to_one_listener_under_a_name_of_its_own(asked):
    hook = Hook("person", topic="people", on_commit=True, fail_silently=True)
    listener = hook.listener(url=URL).match(name="nobody").save()
    assert hook.test(listener).listener == listener
    ((job, how),) = asked
    assert (job.hook, job.body, job.topic) == ("person.test", '{"test":true}', "")
    assert how == {"async_": True, "on_commit": False, "fail_silently": False}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("options", "how"),
    [
        ({}, {"async_": True, "on_commit": False, "fail_silently": False}),
        (
            {"async_": False, "fail_silently": True},
            {"async_": False, "on_commit": False, "fail_silently": True},
        ),
        ({"on_commit": True}, {"async_": True, "on_commit": True, "fail_silently": False}),
    ],
)
def test_the_road_is_told_how(asked, options, how):
    Hook("h", topic="t", **options).send(None)
    assert asked[0][1] == how


@pytest.mark.django_db
def test_an_explicit_false_for_the_applier_wins(asked):
    hook = Hook("h")
    listener = hook.add_listener(URL)
    job = hook._job("h", {}, [listener], "default")
    hook.get_applier(async_=False)(job, [listener])
    hook.get_applier()(job, [listener])
    assert [how["async_"] for _, how in asked] == [False, True]


@pytest.mark.django_db
def test_what_the_road_raises_is_raised_or_logged(monkeypatch, caplog):
    def send(job, listeners, **how):
        raise DeliveryFailed("no")

    monkeypatch.setattr(road, "send", send)
    with pytest.raises(DeliveryFailed):
        Hook("h", topic="t").send(None)
    with caplog.at_level(logging.ERROR):
        assert Hook("h", topic="t", fail_silently=True).send(None) == []
    assert "hook h could not be sent" in caplog.text


# --- a task of one's own


class Told(WebhookSignal):
    calls: list = []
    fails: set = set()

    def run(self, url, payload, **kwargs):
        self.calls.append((url, payload, kwargs))
        if url in self.fails:
            raise OSError(url)


@pytest.fixture
def told():
    yield Told.calls
    Told.calls.clear()
    Told.fails.clear()


@pytest.mark.django_db
def test_a_task_of_ones_own_is_called_for_each_listener(told):
    hook = Hook("h", task_cls=Told, async_=False, retry=True, timeout=2)
    hook.add_listener(URL)
    hook.add_listener("https://b.example/")
    assert [each.status for each in hook.send(None, a=1)] == ["delivered", "delivered"]
    keywords = {"retry": True, "max_retries": 3, "fail_silently": False, "timeout": 2}
    assert told == [(URL, {"a": 1}, keywords), ("https://b.example/", {"a": 1}, keywords)]


@pytest.mark.django_db
def test_the_class_that_ports_name_as_their_task_changes_nothing(asked):
    for task in (None, WebhookSignal, tasks.WebhookSignal):
        Hook("h", topic="t", task_cls=task).send(None)
    assert len(asked) == 3


@pytest.mark.django_db
def test_any_object_with_two_methods_is_a_task():
    class Task:
        calls = []

        def apply(self, args, kwargs):
            self.calls.append(("now", args))

        def apply_async(self, args, kwargs):
            self.calls.append(("later", args))

    hook = Hook("h", task_cls=Task())
    hook.add_listener(URL)
    assert hook.send(None, a=1)[0].status == "queued"
    hook.async_ = False
    assert hook.send(None, a=2)[0].status == "delivered"
    assert Task.calls == [("later", [URL, {"a": 1}]), ("now", [URL, {"a": 2}])]


@pytest.mark.django_db
def test_a_task_made_from_that_of_old_is_run(told):
    class Ported(tasks.WebhookSignal):
        def run(self, url, payload, **kwargs):
            told.append((url, payload))

    hook = Hook("h", task_cls=Ported, async_=False)
    hook.add_listener(URL)
    hook.send(None, a=1)
    assert told == [(URL, {"a": 1})]
    hook.async_ = True
    with pytest.raises(NotImplementedError, match="Ported has no apply_async"):
        hook.send(None, a=1)


@pytest.mark.django_db
def test_a_task_that_fails_stops_no_other(told, caplog):
    hook = Hook("h", task_cls=Told, async_=False)
    hook.add_listener(URL)
    hook.add_listener("https://b.example/")
    Told.fails.add(URL)
    with pytest.raises(OSError, match="where.joe"):
        hook.send(None)
    assert [url for url, _, _ in told] == [URL, "https://b.example/"]
    with caplog.at_level(logging.ERROR):
        results = Hook("h", task_cls=Told, async_=False, fail_silently=True).send(None)
    assert [each.status for each in results] == ["failed", "delivered"]
    assert isinstance(results[0].error, OSError)
    assert "could not be sent to" in caplog.text


@pytest.mark.django_db
def test_a_task_that_tells_its_failure_without_raising():
    class Result:
        result = OSError("eager")

        def failed(self):
            return True

    class Task:
        apply = staticmethod(lambda args, kwargs: Result())

    hook = Hook("h", task_cls=Task, async_=False)
    hook.add_listener(URL)
    with pytest.raises(OSError, match="eager"):
        hook.send(None)


@pytest.mark.django_db
def test_a_base_task_says_what_it_lacks(told):
    hook = Hook("h", task_cls=Told)
    hook.add_listener(URL)
    with pytest.raises(NotImplementedError, match="set async_ = False"):
        hook.send(None)


@pytest.mark.django_db
def test_captured_hooks_call_no_task(told, sent):
    hook = Hook("h", task_cls=Told, async_=False)
    hook.add_listener(URL)
    hook.send(None)
    assert not told
    assert sent[0].urls == [URL]


# --- forms


class LineForm:
    """What a form for one argument looks like, whoever made it."""

    class errors:
        @staticmethod
        def as_data():
            return {"name_cond": [ValidationError("Select a valid choice.")]}

    def __init__(self, data=None):
        self.data = self.cleaned_data = data or {}

    def is_valid(self):
        return self.data.get("name_cond") != "bad"


def test_forms_for_conditions_become_conditions():
    hook = Hook("h", provides_args=["name"], match_forms={"name": LineForm})
    (form,) = hook.get_match_forms(data={"name_cond": 2})
    assert form.data == {"name_cond": 2}
    assert hook.apply_match_forms({"name_cond": 2, "name_query": "J"}) == {"name": Startswith("J")}
    assert hook.apply_match_forms({"name_cond": 1, "name_query": "1"}) == {"name": Text("1")}
    assert hook.apply_match_forms({"name_cond": 0, "name_query": "1"}) == {}
    assert hook.apply_match_forms({}) == {}
    with pytest.raises(ValidationError, match="valid choice"):
        hook.apply_match_forms({"name_cond": "bad"})


def test_a_form_that_makes_its_own_matcher_is_asked_for_it():
    class Own(LineForm):
        matcher = Is(18)

    hook = Hook("h", match_forms={"name": Own})
    assert hook.apply_match_forms({}) == {"name": Is(18)}
    Own.matcher = None
    assert hook.apply_match_forms({}) == {}
