"""Listeners and the outbox in Django's admin."""

from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse
from django.utils import timezone

from hookbox.contrib.django import deliveries
from hookbox.contrib.django.errors import HookboxError
from hookbox.contrib.django.models import Listener, OutboxEntry
from hookbox.contrib.django.test import capture_hooks
from hookbox.testing import HookboxProcess, Receiver

URL = "https://where.joe/listening"
LIST = "/admin/hookbox/listener/"
SECRET = "whsec_" + "A" * 43 + "="

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("person_hook", "order_hook")]


@pytest.fixture(autouse=True)
def _nobody_home(settings):
    """No Hookbox, unless a test has one."""
    settings.HOOKBOX_URL = "http://127.0.0.1:9"


@pytest.fixture
def root(client, django_user_model):
    user = django_user_model.objects.create_superuser("root")
    client.force_login(user)
    return user


@pytest.fixture
def staff(client, user_with):
    user = user_with("ann", "view", "add", "change", "delete", is_staff=True)
    client.force_login(user)
    return user


def listener_of(owner=None, **fields):
    return Listener.objects.create(**{"hook": "person", "url": URL, "owner": owner, **fields})


def form(**fields):
    return {
        "hook": "person",
        "url": URL,
        "match": "{}",
        "config": "{}",
        "active": "on",
        "owner": "",
        **fields,
    }


def change(client, listener, **fields):
    return client.post(f"{LIST}{listener.pk}/change/", form(**fields))


def act(client, name, *listeners, **more):
    return client.post(LIST, {"action": name, "_selected_action": [each.pk for each in listeners], **more})


def said(answer):
    """The messages that came of this request, which nobody has seen yet."""
    return [str(message) for message in get_messages(answer.wsgi_request)._queued_messages]


# looking


def test_the_list_shows_how_they_fare_and_can_be_filtered(client, root):
    listener_of(failures=3, last_status="503", url=f"{URL}/failing")
    listener_of(active=False, disabled_reason="410", url=f"{URL}/gone")
    text = client.get(LIST).content.decode()
    assert "503" in text
    for query, shown in [
        ("health=failing", "failing"),
        ("health=disabled", "gone"),
        ("active__exact=0", "gone"),
    ]:
        text = client.get(f"{LIST}?{query}").content.decode()
        assert [name for name in ("failing", "gone") if f"{URL}/{name}" in text] == [shown]
    assert f"{URL}/gone" in client.get(f"{LIST}?health=well&q=gone").content.decode()


def test_a_secret_is_never_shown_in_full(client, root):
    text = client.get(f"{LIST}{listener_of(secret=SECRET).pk}/change/").content.decode()
    assert SECRET not in text
    assert SECRET[-4:] in text


def test_a_server_that_is_down_is_said_to_be(client, root):
    answer = client.get(f"{LIST}{listener_of().pk}/change/")
    assert answer.status_code == 200
    assert "cannot be reached" in answer.content.decode()
    assert "is it running?" in answer.content.decode()


def test_hostile_text_is_only_text(client, root):
    evil = "<script>alert(1)</script>"
    listener = listener_of(
        hook=evil, url=f"https://x.example/{evil}", match={evil: evil}, disabled_reason=evil
    )
    OutboxEntry.objects.create(job={"hook": evil}, last_error=evil)
    entry = OutboxEntry.objects.get()
    pages = [LIST, f"{LIST}{listener.pk}/change/", f"{LIST}{listener.pk}/secret/"]
    pages += ["/admin/hookbox/outboxentry/", f"/admin/hookbox/outboxentry/{entry.pk}/change/"]
    for page in pages:
        assert evil not in client.get(page).content.decode()


# changing


def test_a_listener_is_added_with_a_secret_that_is_shown_once(client, root):
    answer = client.post(f"{LIST}add/", form(match='{"name": {"$startswith": "J"}}'))
    listener = Listener.objects.get()
    assert listener.match == {"name": {"$startswith": "J"}}
    assert listener.secret.startswith("whsec_")
    assert listener.secret not in " ".join(said(answer))
    page = f"{LIST}{listener.pk}/secret/"
    assert page in " ".join(said(answer))
    first = client.get(page)
    assert listener.secret in first.content.decode()
    assert "no-store" in first["Cache-Control"]
    assert listener.secret not in client.get(page).content.decode()


def test_a_secret_is_replaced(client, root):
    listener = listener_of(secret=SECRET)
    page = f"{LIST}{listener.pk}/secret/"
    assert SECRET not in client.get(page).content.decode()
    answer = client.post(page, follow=True)
    listener.refresh_from_db()
    assert listener.secret != SECRET
    assert listener.secret in answer.content.decode()


@pytest.mark.parametrize(
    ("field", "text", "complaint"),
    [
        ("match", "[1]", "A condition is a JSON object."),
        ("match", "{", "Enter a valid JSON."),
        ("match", "[" * 100_000, "Enter a valid JSON."),
        ("match", '{"a": ' + "[" * 900 + "]" * 900 + "}", "Not a condition"),
        ("match", r'{"a": "\ud800"}', "Not a condition"),
        ("config", '{"a": ' + "[" * 900 + "]" * 900 + "}", "cannot be kept"),
        ("config", r'{"a": "\ud800"}', "cannot be kept"),
        ("config", '{"a": "' + "x" * 20_000 + '"}', "limit 16384"),
        ("match", '{"a": {"$nothing": 1}}', "unknown matcher $nothing"),
        ("config", "7", "A configuration is a JSON object."),
        ("config", '{"headers": {"Host": "x"}}', "Host"),
        ("url", "ftp://example.com/", "Enter a valid URL."),
        ("hook", "unknown", "Select a valid choice."),
    ],
)
def test_what_is_wrong_is_said_and_not_saved(client, root, field, text, complaint):
    listener = listener_of()
    answer = change(client, listener, **{field: text})
    assert answer.status_code == 200
    errors = " ".join(
        str(error) for errors in answer.context["adminform"].form.errors.values() for error in errors
    )
    assert complaint.lower() in errors.lower()
    listener.refresh_from_db()
    assert (listener.url, listener.match, listener.config) == (URL, {}, {})


def test_what_is_wrong_with_something_that_is_not_in_the_form_is_said_too(client, root):
    answer = change(client, listener_of(secret="whsec_short"))
    assert answer.status_code == 200
    assert answer.context["adminform"].form.non_field_errors()


def test_empty_json_means_nothing_is_asked(client, root):
    listener = listener_of(match={"a": 1})
    assert change(client, listener, match="", config="").status_code == 302
    listener.refresh_from_db()
    assert (listener.match, listener.config) == ({}, {})


def test_regular_expressions_are_for_superusers(client, root, user_with):
    like = '{"name": {"first": {"$like": "^J"}}}'
    eve = user_with("eve", "view", "change", is_staff=True)
    listener = listener_of(eve)
    client.force_login(eve)
    answer = change(client, listener, match=like)
    assert "Only superusers may use $like." in answer.content.decode()
    client.force_login(root)
    assert change(client, listener, match=like, owner=eve.pk).status_code == 302
    client.force_login(eve)
    assert change(client, listener, match=like, url=f"{URL}/2").status_code == 302


def test_a_listener_may_keep_a_hook_that_is_gone_with_a_warning(client, root):
    listener = listener_of(hook="gone")
    assert "gone (not registered)" in client.get(f"{LIST}{listener.pk}/change/").content.decode()
    answer = change(client, listener, hook="gone", url=f"{URL}/2")
    assert answer.status_code == 302
    assert "No hook is called “gone”: nothing is sent to this listener." in said(answer)


def test_one_that_is_switched_on_begins_anew(client, root):
    listener = listener_of(active=False, disabled_reason="410", failures=9)
    assert change(client, listener).status_code == 302
    listener.refresh_from_db()
    assert (listener.active, listener.disabled_reason, listener.failures) == (True, "", 0)


# whose


def test_staff_sees_and_changes_only_its_own(client, staff, user_with):
    other = listener_of(user_with("bob"), url=f"{URL}/other")
    assert f"{URL}/other" not in client.get(LIST).content.decode()
    assert change(client, other).status_code == 302  # to the index: there is no such listener
    assert client.get(f"{LIST}{other.pk}/secret/").status_code == 404
    client.post(f"{LIST}add/", form(owner=other.owner.pk))
    assert Listener.objects.exclude(pk=other.pk).get().owner == staff
    with capture_hooks() as sent:
        act(client, "send_test", other)
    assert not sent


def test_who_may_only_look_can_change_nothing(client, user_with):
    user = user_with("ann", "view", is_staff=True)
    client.force_login(user)
    listener = listener_of(user, secret=SECRET)
    assert client.get(f"{LIST}{listener.pk}/change/").status_code == 200
    assert change(client, listener, url=f"{URL}/2").status_code == 403
    assert client.post(f"{LIST}{listener.pk}/secret/").status_code == 403
    act(client, "disable", listener)
    listener.refresh_from_db()
    assert (listener.active, listener.secret) == (True, SECRET)


# actions


def test_many_are_switched_at_once(client, root):
    first, second = listener_of(), listener_of(active=False, disabled_reason="410", failures=3)
    assert said(act(client, "disable", first, second)) == ["1 listener switched off."]
    assert said(act(client, "enable", first, second)) == ["2 listeners switched on."]
    assert list(Listener.objects.values_list("active", "disabled_reason", "failures")) == [(True, "", 0)] * 2


def test_many_get_a_test(client, root):
    with capture_hooks() as sent:
        answer = act(
            client, "send_test", listener_of(), listener_of(hook="gone"), listener_of(hook="order.paid")
        )
    assert sorted(job.hook for job in sent) == ["order.paid.test", "person.test"]
    assert len(said(answer)) == 3


def replay(client, *listeners, since=None):
    at = timezone.localtime(since or timezone.now() - timedelta(hours=1))
    return act(
        client, "replay_failures", *listeners, replay="1", since_0=f"{at:%Y-%m-%d}", since_1=f"{at:%H:%M}"
    )


def test_a_replay_asks_since_when(client, root):
    answer = act(client, "replay_failures", listener_of())
    text = answer.content.decode()
    assert 'type="date"' in text
    assert 'type="time"' in text
    answer = act(client, "replay_failures", listener_of(), replay="1", since_0="soon", since_1="10:00")
    assert "Enter a valid date." in answer.content.decode()


def test_a_replay_without_server_says_so_once(client, root):
    (only,) = said(replay(client, listener_of(), listener_of()))
    assert "cannot be reached" in only


# with a server


@pytest.fixture(scope="module")
def hookbox():
    with HookboxProcess(egress="internal") as server:
        yield server


@pytest.fixture
def connected(hookbox, settings):
    settings.HOOKBOX_URL = hookbox.url
    settings.HOOKBOX_API_SECURITY_TOKEN = hookbox.TOKEN
    return hookbox


def test_deliveries_are_shown_as_the_server_knows_them_and_failures_replayed(client, root, connected):
    with Receiver() as receiver:
        listener, other = listener_of(url=receiver.hook), listener_of(url=receiver.hook)
        assert deliveries.recent(listener) == []
        assert (
            "delivered nothing to this listener"
            in client.get(f"{LIST}{listener.pk}/change/").content.decode()
        )

        receiver.answer(500, 200)
        place = {"url": receiver.hook, "tag": deliveries.tag_of(listener), "retry": "none"}
        connected.dispatch(json={"n": 1}, type="person", to=[place])
        receiver.wait_for(1)
        assert said(replay(client, other)) == ["0 deliveries are tried again."]
        wait_until_dead(listener)
        text = client.get(f"{LIST}{listener.pk}/change/").content.decode()
        (one,) = deliveries.recent(listener)
        assert (one.type, one.state, one.status, one.attempts) == ("person", "dead", 500, 1)
        assert one.id in text
        assert said(replay(client, listener)) == ["1 delivery is tried again."]
        again = receiver.wait_for(2)[1]
        assert again.json == {"n": 1}


def wait_until_dead(listener):
    """Look until the server has noted what came of the attempt."""
    import time

    from hookbox.testing import DEADLINE

    until = time.monotonic() + DEADLINE
    while [each.state for each in deliveries.recent(listener)] != ["dead"]:
        assert time.monotonic() < until, deliveries.recent(listener)


def test_a_token_that_is_refused_is_said_to_be(connected, settings):
    settings.HOOKBOX_API_SECURITY_TOKEN = "wrong"
    with pytest.raises(HookboxError, match="HOOKBOX_API_SECURITY_TOKEN"):
        deliveries.recent(Listener())


def test_something_else_at_the_servers_address_is_said_to_be(settings):
    with Receiver() as receiver:
        settings.HOOKBOX_URL = receiver.url
        with pytest.raises(HookboxError, match="is not Hookbox"):
            deliveries.recent(Listener())


# the outbox


def test_the_outbox_is_only_looked_at_and_tried_again(client, root):
    later = timezone.now() + timedelta(hours=1)
    entry = OutboxEntry.objects.create(
        job={"hook": "person", "body": "{}"}, next_at=later, last_error="refused"
    )
    page = reverse("admin:hookbox_outboxentry_changelist")
    text = client.get(page).content.decode()
    assert "person" in text
    assert "refused" in text
    assert client.get(reverse("admin:hookbox_outboxentry_add")).status_code == 403
    shown = client.get(reverse("admin:hookbox_outboxentry_change", args=[entry.pk])).content.decode()
    assert "&quot;body&quot;" in shown
    assert 'name="job"' not in shown
    claimed = OutboxEntry.objects.create(job={}, next_at=later)
    answer = client.post(page, {"action": "retry", "_selected_action": [entry.pk, claimed.pk]})
    assert said(answer) == ["1 entry is due now, and goes out with the next hand-over."]
    due = OutboxEntry.objects.filter(next_at__lte=timezone.now())
    assert list(due) == [entry]
