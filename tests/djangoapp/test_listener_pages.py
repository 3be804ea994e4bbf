"""The pages on which people make listeners, and look after them."""

import uuid

import pytest
from django import forms
from django.urls import reverse

from hookbox.contrib.django.errors import DeliveryFailed, HookboxError
from hookbox.contrib.django.event import Hook
from hookbox.contrib.django.forms import HookConfigForm
from hookbox.contrib.django.models import Listener
from hookbox.contrib.django.sending.jobs import SendResult
from hookbox.contrib.django.test import capture_hooks

URL = "https://where.joe/listening"
EVERYTHING = ("view", "add", "change", "delete")

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("person_hook", "order_hook")]


@pytest.fixture
def ann(user_with, client):
    """Somebody who may do everything with their own listeners, logged in."""
    user = user_with("ann", *EVERYTHING)
    client.force_login(user)
    return user


def listener_of(owner, **fields):
    return Listener.objects.create(hook="person", url=URL, owner=owner, **fields)


def page(client, name, *args, **query):
    return client.get(reverse(f"durian:{name}", args=args), query)


def test_a_row_that_was_stored_without_a_check_can_be_seen_and_mended(client, ann):
    listener = listener_of(ann, match=[1], config="x")
    assert "is no condition" in page(client, "list").content.decode()
    assert page(client, "edit", listener.uuid).status_code == 200
    data = {"url": URL, "active": "on", "name_cond": 1, "name_query": "Joe"}
    assert client.post(reverse("durian:edit", args=[listener.uuid]), data).status_code == 302
    listener.refresh_from_db()
    assert (listener.match, listener.config) == ({"name": {"$is": "Joe"}}, {})


# choosing and creating


def test_events_are_chosen_by_what_they_are_called(client, ann):
    answer = page(client, "select")
    text = answer.content.decode()
    assert text.index("A person has changed") < text.index("An order was paid")
    assert f"{reverse('durian:create')}?type=order.paid" in text
    assert "Name, Address, Age" in text


def test_a_listener_is_created_for_who_is_logged_in(client, ann):
    form = page(client, "create", type="person").content.decode()
    assert 'name="name_cond"' in form
    assert 'name="age_query"' in form
    assert 'name="secret' not in form
    data = {"type": "person", "url": URL, "name_cond": 2, "name_query": "J", "age_cond": 1, "age_query": "42"}
    answer = client.post(reverse("durian:create"), data)
    assert answer.status_code == 302
    assert answer["Location"] == reverse("durian:list")
    listener = Listener.objects.get()
    assert (listener.owner, listener.hook, listener.url) == (ann, "person", URL)
    assert listener.match == {"name": {"$startswith": "J"}, "age": {"$is": 42}}
    assert listener.config == {}


def test_its_secret_is_shown_once(client, ann):
    client.post(reverse("durian:create"), {"type": "person", "url": URL})
    secret = Listener.objects.get().secret
    assert secret.startswith("whsec_")
    assert secret not in str(dict(client.session))
    first = page(client, "list")
    assert secret in first.content.decode()
    assert "no-store" in first["Cache-Control"]
    assert "The listener has been created." in first.content.decode()
    assert secret not in page(client, "list").content.decode()
    assert secret not in page(client, "edit", Listener.objects.get().uuid).content.decode()


def test_without_signing_there_is_no_secret(client, ann, settings):
    settings.HOOKBOX_LISTENER_SIGNING = False
    client.post(reverse("durian:create"), {"type": "person", "url": URL})
    assert Listener.objects.get().secret == ""
    assert "new-secret" not in page(client, "list").content.decode()


def test_what_is_wrong_is_shown_beside_what_was_typed(client, ann):
    data = {"type": "person", "url": "nowhere", "age_cond": 1, "age_query": "old", "name_cond": 3}
    answer = client.post(reverse("durian:create"), data)
    text = answer.content.decode()
    assert answer.status_code == 200
    assert not Listener.objects.exists()
    assert 'value="nowhere"' in text
    assert 'value="old"' in text
    for field in ("id_url", "id_age_query", "id_name_query"):
        assert f'href="#{field}"' in text
        assert f'id="{field}_error"' in text
    assert text.count('aria-invalid="true"') == 3
    assert 'role="alert"' in text


def test_a_condition_that_is_too_large_is_an_error_and_no_crash(client, ann, register):
    names = [f"a{n}" for n in range(101)]
    register(Hook(name="wide", provides_args=names))
    said = {f"{name}_{part}": "1" for name in names for part in ("cond", "query")}
    answer = client.post(reverse("durian:create"), {"type": "wide", "url": URL, **said})
    assert answer.status_code == 200
    assert "more than 100 keys" in answer.content.decode()
    assert not Listener.objects.exists()


@pytest.mark.parametrize("query", [{}, {"type": "unknown"}, {"type": ""}])
def test_an_unknown_event_is_not_found(client, ann, query):
    assert page(client, "create", **query).status_code == 404
    assert client.post(reverse("durian:create"), {**query, "url": URL}).status_code == 404


def test_an_address_can_be_given_beforehand(client, ann):
    assert f'value="{URL}"' in page(client, "create", type="person", url=URL).content.decode()


class ChattyForm(HookConfigForm):
    room = forms.CharField()
    until = forms.DateField(required=False)


def test_more_fields_of_a_hooks_form_go_into_the_configuration(client, ann, register):
    register(Hook(name="chatty", config_form=ChattyForm))
    data = {"type": "chatty", "url": URL, "room": "lobby", "until": "2026-03-01"}
    client.post(reverse("durian:create"), data)
    listener = Listener.objects.get()
    assert listener.config == {"room": "lobby", "until": "2026-03-01"}

    Listener.objects.update(config={**listener.config, "headers": {"X-Shop": "1"}})
    assert 'value="lobby"' in page(client, "edit", listener.uuid).content.decode()
    data = {"url": URL, "room": "attic", "active": "on"}
    client.post(reverse("durian:edit", args=[listener.uuid]), data)
    listener.refresh_from_db()
    assert listener.config == {"room": "attic", "until": None, "headers": {"X-Shop": "1"}}


class OldForm(forms.Form):
    """A form for a condition as projects wrote them for Durian."""

    total_cond = forms.IntegerField(required=False)
    total_query = forms.CharField(required=False)


def test_a_hook_may_have_forms_of_its_own_for_conditions(client, ann, register):
    register(Hook(name="old", provides_args=["total"], match_forms={"total": OldForm}))
    assert 'for="id_total_query"' in page(client, "create", type="old").content.decode()
    data = {"type": "old", "url": URL, "total_cond": "1", "total_query": "7"}
    client.post(reverse("durian:create"), data)
    assert Listener.objects.get().match == {"total": {"$text": "7"}}


# looking after them


def test_the_list_tells_what_each_wants_and_how_it_fares(client, ann):
    listener_of(ann, match={"name": {"$startswith": "J"}})
    listener_of(ann, failures=3, last_status="500")
    listener_of(ann, active=False, disabled_reason="410")
    Listener.objects.create(hook="gone", url=URL, owner=ann)
    text = page(client, "list").content.decode()
    assert "Name <span" in text
    assert "3 failures in a row, the last: 500" in text
    assert "It answered 410" in text
    assert "No hook is registered under this name any more." in text


def test_the_list_has_pages(client, ann):
    Listener.objects.bulk_create([Listener(hook="person", url=f"{URL}/{n}", owner=ann) for n in range(51)])
    assert "Page 1 of 2" in page(client, "list").content.decode()
    assert page(client, "list", page="2").content.decode().count("<article") == 1
    assert page(client, "list", page="x").status_code == 200


def test_the_list_asks_the_database_equally_often_for_few_and_many(client, ann, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    listener_of(ann)
    with CaptureQueriesContext(connection) as few:
        page(client, "list")
    for _ in range(5):
        listener_of(ann)
    with django_assert_num_queries(len(few)):
        page(client, "list")


def test_a_listener_is_edited(client, ann):
    listener = listener_of(
        ann,
        match={"name": {"$startswith": "J"}, "deep": {"er": 1}},
        active=False,
        disabled_reason="410",
        failures=4,
    )
    text = page(client, "edit", listener.uuid).content.decode()
    assert 'value="J"' in text
    assert "set by the application" in text
    data = {"url": f"{URL}/2", "name_cond": 1, "name_query": "Joe", "active": "on"}
    assert client.post(reverse("durian:edit", args=[listener.uuid]), data).status_code == 302
    listener.refresh_from_db()
    assert listener.url == f"{URL}/2"
    assert listener.match == {"name": {"$is": "Joe"}, "deep": {"er": 1}}
    assert (listener.active, listener.disabled_reason, listener.failures) == (True, "", 0)


def test_an_edit_leaves_alone_what_it_is_not_about(client, ann):
    listener = listener_of(ann, failures=2, secret="whsec_" + "A" * 32)
    client.post(reverse("durian:edit", args=[listener.uuid]), {"url": URL, "active": "on"})
    listener.refresh_from_db()
    assert listener.failures == 2
    assert listener.secret == "whsec_" + "A" * 32


def test_a_listener_of_a_hook_that_is_gone_can_be_switched_off(client, ann):
    listener = Listener.objects.create(hook="gone", url=URL, owner=ann, match={"a": 1})
    answer = client.post(reverse("durian:edit", args=[listener.uuid]), {"url": URL})
    listener.refresh_from_db()
    assert answer.status_code == 302
    assert not listener.active
    assert listener.match == {"a": 1}


def test_a_secret_is_replaced_and_shown_once(client, ann):
    listener = listener_of(ann, secret="whsec_" + "A" * 32)
    client.post(reverse("durian:edit", args=[listener.uuid]), {"rotate": "1"})
    listener.refresh_from_db()
    assert listener.secret != "whsec_" + "A" * 32
    assert listener.url == URL
    assert listener.secret in page(client, "list").content.decode()
    assert listener.secret not in page(client, "list").content.decode()


def test_a_listener_is_deleted_after_a_question(client, ann):
    listener = listener_of(ann)
    assert "Delete this listener?" in page(client, "delete", listener.uuid).content.decode()
    assert Listener.objects.exists()
    client.post(reverse("durian:delete", args=[listener.uuid]))
    assert not Listener.objects.exists()


def test_a_test_is_sent(client, ann):
    listener = listener_of(ann)
    with capture_hooks() as sent:
        answer = client.post(reverse("durian:test", args=[listener.uuid]), follow=True)
    assert "on its way" in answer.content.decode()
    (job,) = sent
    assert job.hook == "person.test"
    assert page(client, "test", listener.uuid).status_code == 405


def failing(error):
    def send(listener):
        raise error

    return send


@pytest.mark.parametrize("error", [HookboxError("Hookbox is away"), DeliveryFailed("status 500", status=500)])
def test_a_test_that_cannot_be_sent_says_so(client, ann, person_hook, monkeypatch, error):
    monkeypatch.setattr(person_hook, "test", failing(error))
    answer = client.post(reverse("durian:test", args=[listener_of(ann).uuid]), follow=True)
    assert f"The test could not be sent: {error}" in answer.content.decode()


def test_a_test_that_fails_in_any_other_way_is_no_crash(client, ann, person_hook, monkeypatch, caplog):
    monkeypatch.setattr(person_hook, "test", failing(OSError("no broker at amqp://joe:hush@10.0.0.7")))
    answer = client.post(reverse("durian:test", args=[listener_of(ann).uuid]), follow=True)
    assert "The test could not be sent" in answer.content.decode()
    assert "hush" not in answer.content.decode()
    assert "no broker" in caplog.text


@pytest.mark.parametrize(
    ("status", "said"), [("delivered", "has got the test"), ("queued", "on its way"), ("failed", "refused")]
)
def test_it_is_told_what_became_of_a_test(client, ann, person_hook, monkeypatch, status, said):
    listener = listener_of(ann)
    error = OSError("refused") if status == "failed" else None
    monkeypatch.setattr(person_hook, "test", lambda listener: SendResult(listener, status, "1", error))
    assert said in client.post(reverse("durian:test", args=[listener.uuid]), follow=True).content.decode()


def test_a_test_of_a_hook_that_is_gone_says_so(client, ann):
    gone = Listener.objects.create(hook="gone", url=URL, owner=ann)
    answer = client.post(reverse("durian:test", args=[gone.uuid]), follow=True)
    assert "No hook is called" in answer.content.decode()


# who may what

PAGES = ("list", "select", "create", "edit", "delete", "test")


def reach(client, name, listener):
    args = [listener.uuid] if name in ("edit", "delete", "test") else []
    url = reverse(f"durian:{name}", args=args) + ("?type=person" if name == "create" else "")
    return client.post(url) if name == "test" else client.get(url)


@pytest.mark.parametrize("name", PAGES)
def test_strangers_are_asked_to_log_in(client, name):
    answer = reach(client, name, listener_of(None))
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize(
    ("verb", "allowed"),
    [
        ("", []),
        ("view", ["list"]),
        ("add", ["list", "select", "create"]),
        ("change", ["list", "edit", "test"]),
        ("delete", ["list", "delete"]),
    ],
)
def test_each_page_needs_its_permission(client, user_with, verb, allowed):
    user = user_with("ann", *([verb] if verb else []))
    client.force_login(user)
    listener = listener_of(user)
    with capture_hooks():
        found = {name: reach(client, name, listener).status_code for name in PAGES}
    assert found == {name: (302 if name == "test" else 200) if name in allowed else 403 for name in PAGES}


def test_buttons_are_only_there_for_who_may_press_them(client, user_with):
    user = user_with("ann", "view")
    client.force_login(user)
    listener_of(user)
    text = page(client, "list").content.decode()
    for name in ("Edit", "Delete", "Send test", "New listener"):
        assert name not in text


@pytest.mark.parametrize("name", ["edit", "delete", "test"])
@pytest.mark.parametrize("staff", [False, True])
def test_other_peoples_listeners_are_not_found(client, user_with, name, staff):
    client.force_login(user_with("ann", *EVERYTHING, is_staff=staff))
    other = listener_of(user_with("bob"))
    assert reach(client, name, other).status_code == 404
    assert reach(client, name, listener_of(None)).status_code == 404
    assert client.post(reverse(f"durian:{name}", args=[other.uuid]), {"url": URL}).status_code == 404
    assert client.post(reverse(f"durian:{name}", args=[uuid.uuid4()])).status_code == 404
    assert Listener.objects.filter(uuid=other.uuid, url=URL).exists()
    assert "<article" not in page(client, "list").content.decode()


def test_who_may_view_all_sees_them_and_only_staff_changes_them(client, user_with):
    other = listener_of(user_with("bob"))
    client.force_login(user_with("ann", *EVERYTHING, "view_all_listeners"))
    text = page(client, "list").content.decode()
    assert "Owner: bob" in text
    assert ">Edit<" not in text
    assert reach(client, "edit", other).status_code == 404
    client.force_login(user_with("eve", *EVERYTHING, "view_all_listeners", is_staff=True))
    assert ">Edit<" in page(client, "list").content.decode()
    assert reach(client, "edit", other).status_code == 200


def test_a_new_secret_is_shown_to_nobody_else(client, user_with):
    ann, bob = user_with("ann", *EVERYTHING), user_with("bob", *EVERYTHING)
    client.force_login(ann)
    client.post(reverse("durian:create"), {"type": "person", "url": URL})
    secret = Listener.objects.get().secret
    Listener.objects.update(owner=bob)
    assert secret not in page(client, "list").content.decode()


def test_nothing_happens_without_a_csrf_token(ann):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ann)
    listener = listener_of(ann)
    for name, args in [("create", []), *((name, [listener.uuid]) for name in ("edit", "delete", "test"))]:
        assert strict.post(reverse(f"durian:{name}", args=args), {"type": "person"}).status_code == 403


def test_hostile_text_is_only_text(client, ann):
    evil = '"><script>alert(1)</script>'
    listener = Listener.objects.create(
        hook=evil,
        url="https://x.example/'\"><script>",
        owner=ann,
        match={evil: evil},
        disabled_reason=evil,
        active=False,
    )
    for answer in (
        page(client, "list"),
        page(client, "edit", listener.uuid),
        page(client, "delete", listener.uuid),
    ):
        assert "<script" not in answer.content.decode()
    assert "<script" not in page(client, "create", type="person", url=evil).content.decode()
    assert "<script" not in page(client, "select", url=evil).content.decode()


@pytest.mark.parametrize("name", PAGES[:5])
def test_pages_do_without_inline_styles_and_scripts(client, ann, name):
    text = reach(client, name, listener_of(ann)).content.decode().lower()
    for inline in ("style=", "<style", "<script", "onclick", "onload", "javascript:"):
        assert inline not in text
