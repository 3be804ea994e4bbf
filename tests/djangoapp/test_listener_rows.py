"""Listeners: made step by step, checked, and seen by whom they belong to."""

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import ValidationError

from hookbox.contrib.django.event import Hook, IntermediateListener
from hookbox.contrib.django.match import Any, Is, Like, Startswith
from hookbox.contrib.django.models import Listener

pytestmark = pytest.mark.django_db
URL = "https://where.joe/listening"


@pytest.fixture
def hook(register):
    return register(Hook("person", provides_args=["name"]))


class ConfigForm:
    """What any form with data looks like."""

    class errors:
        @staticmethod
        def as_data():
            return {"url": [ValidationError("Enter a valid URL.")]}

    def __init__(self, valid=True, **data):
        self.cleaned_data, self.valid = data, valid

    def is_valid(self):
        return self.valid


def test_a_listener_by_url(hook):
    listener = hook.listener(url=URL).match(name=Startswith("J")).save()
    listener.refresh_from_db()
    assert (listener.hook, listener.url, listener.active, listener.owner) == ("person", URL, True, None)
    assert listener.match == {"name": {"$startswith": "J"}}
    assert listener.get_match() == {"name": Startswith("J")}
    assert str(listener) == f"person → {URL}"


def test_each_step_returns_the_builder_and_conditions_add_up(hook):
    user = User.objects.create(username="ann")
    builder = hook.listener(url=URL, headers={"X-A": "1"}, note="n")
    assert isinstance(builder, IntermediateListener)
    assert builder.match(a=1, b=2).match({"b": Any(), "with-dash": Is(3)}).owner(user) is builder
    listener = builder.secret("").save()
    assert listener.match == {"a": 1, "b": {"$any": True}, "with-dash": {"$is": 3}}
    assert (listener.owner, listener.secret) == (user, "")
    assert listener.config == {"headers": {"X-A": "1"}, "note": "n"}


def test_a_listener_by_form_keeps_what_else_the_form_asks(hook):
    listener = hook.listener(ConfigForm(url=URL, colour="red", sizes={2, 1})).match(name="Joe").save()
    assert (listener.url, listener.config) == (URL, {"colour": "red", "sizes": [1, 2]})
    assert hook.add_listener_by_form(ConfigForm(url=URL), {"name": "Joe"}).match == {"name": "Joe"}


def test_a_form_that_is_not_valid_is_told(hook):
    with pytest.raises(ValidationError) as told:
        hook.listener(ConfigForm(valid=False)).save()
    assert told.value.message_dict == {"url": ["Enter a valid URL."]}
    assert not Listener.objects.exists()


def test_it_is_a_form_or_a_url(hook):
    for wrong in ((), (ConfigForm(),)):
        with pytest.raises(TypeError, match="form with data, or url"):
            hook.listener(*wrong, url=None if not wrong else URL)
    with pytest.raises(TypeError, match="note from the form"):
        hook.listener(ConfigForm(), note=1)


def test_a_listener_in_one_call(hook):
    listener = hook.add_listener(URL, {"name": Is("Joe")}, headers={"X-A": "1"})
    assert (listener.match, listener.config) == ({"name": {"$is": "Joe"}}, {"headers": {"X-A": "1"}})


def test_new_listeners_get_a_secret_if_the_project_signs(hook, settings):
    one, two = hook.add_listener(URL), hook.add_listener(URL)
    assert one.secret.startswith("whsec_")
    assert one.secret != two.secret
    own = "whsec_" + "AAAA" * 8
    assert hook.listener(url=URL).secret(own).save().secret == own
    settings.HOOKBOX_LISTENER_SIGNING = False
    assert hook.add_listener(URL).secret == ""


def test_the_hook_of_a_listener_made_in_code_need_not_be_registered():
    assert Hook("elsewhere").add_listener(URL).pk


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        (lambda hook: hook.listener(url="ftp://where.joe/"), "url"),
        (lambda hook: hook.listener(url="nonsense"), "url"),
        (lambda hook: hook.listener(url=""), "url"),
        (lambda hook: hook.listener(url="https://where.joe/" + "x" * 2048), "url"),
        (lambda hook: hook.listener(url="https://where.joe/münchen"), "url"),
        (lambda hook: hook.listener(url="https://where.joe:0/"), "url"),
        (lambda hook: hook.listener(url=URL).match(name={"$nope": 1}), "match"),
        (lambda hook: hook.listener(url=URL).match(name={"$like": "("}), "match"),
        (lambda hook: hook.listener(url=URL).match(name=object()), "match"),
        (lambda hook: hook.listener(url=URL, headers="X-A: 1"), "config"),
        (lambda hook: hook.listener(url=URL, headers={"X-A": 1}), "config"),
        (lambda hook: hook.listener(url=URL, headers={"Host": "x"}), "config"),
        (lambda hook: hook.listener(url=URL, headers={"webhook-id": "x"}), "config"),
        (lambda hook: hook.listener(url=URL, headers={"X-A": "a\r\nX-B: b"}), "config"),
        (lambda hook: hook.listener(url=URL, thing=object()), "config"),
        (lambda hook: hook.listener(url=URL, thing="a\0b"), "config"),
        (lambda hook: hook.listener(url=URL).match(name=["\0"]), "match"),
        (lambda hook: hook.listener(url=URL).secret("short"), "secret"),
        (lambda hook: hook.listener(url=URL).secret("whsec_!"), "secret"),
        (lambda hook: hook.listener(url=URL).owner(AnonymousUser()), "owner"),
        (lambda hook: hook.listener(url=URL).owner(User()), "owner"),
    ],
)
def test_what_is_wrong_is_told_by_field_and_nothing_is_saved(hook, steps, field):
    with pytest.raises(ValidationError) as told:
        steps(hook).save()
    assert list(told.value.message_dict) == [field]
    assert not Listener.objects.exists()


def test_what_only_looks_like_a_nul_is_kept(hook):
    assert hook.listener(url=URL).match(name="\\u0000").save().match == {"name": "\\u0000"}


def test_an_address_to_which_nothing_can_be_sent_says_why(hook):
    with pytest.raises(ValidationError, match="has to be percent-encoded"):
        hook.listener(url="https://where.joe/münchen").save()
    with pytest.raises(ValidationError) as told:
        hook.listener(url="nonsense").save()
    assert told.value.message_dict == {"url": ["Enter a valid URL."]}
    assert hook.listener(url="https://münchen.example/").save().url == "https://münchen.example/"


def test_a_secret_is_not_shown_when_it_is_wrong(hook):
    with pytest.raises(ValidationError) as told:
        hook.listener(url=URL).secret("whsec_hush").save()
    assert "hush" not in str(told.value)


def test_a_listener_of_no_hook_is_refused_unless_it_was_so_before(hook):
    listener = Listener(hook="gone", url=URL)
    with pytest.raises(ValidationError, match="There is no hook gone"):
        listener.full_clean()
    listener.save()
    listener.full_clean()
    listener.hook = "gone.too"
    with pytest.raises(ValidationError, match=r"There is no hook gone\.too"):
        listener.full_clean()
    listener.hook = "person"
    listener.full_clean()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("match", {"a": {"$x": 1}}),
        ("match", [1]),
        ("config", [1]),
        ("config", {"headers": [1]}),
        ("config", {"note": "\ud800"}),
        ("config", {"number": 2**63}),
        ("config", {"note": "x" * 20_000}),
        ("secret", "x"),
    ],
)
def test_every_way_to_a_listener_is_checked_alike(hook, field, value):
    with pytest.raises(ValidationError) as told:
        Listener(hook="person", url=URL, **{field: value}).full_clean()
    assert list(told.value.message_dict) == [field]


def test_several_mistakes_are_told_at_once(hook):
    with pytest.raises(ValidationError) as told:
        Listener(hook="gone", url=URL, match=[1], config=[1], secret="x").full_clean()
    assert told.value.message_dict.keys() == {"hook", "match", "config", "secret"}


def test_code_may_use_regular_expressions(hook):
    assert hook.listener(url=URL).match(name=Like("^J")).save().get_match() == {"name": Like("^J")}


def test_users_see_their_own_listeners_and_some_see_all(hook):
    ann, bob = User.objects.create(username="ann"), User.objects.create(username="bob")
    anns = hook.listener(url=URL).owner(ann).save()
    nobodys = hook.listener(url=URL).save()
    assert list(Listener.objects.for_user(ann)) == [anns]
    assert not Listener.objects.for_user(bob)
    assert not Listener.objects.for_user(AnonymousUser())
    assert not Listener.objects.for_user(None)
    bob.user_permissions.add(Permission.objects.get(codename="view_all_listeners"))
    bob = User.objects.get(pk=bob.pk)
    assert set(Listener.objects.for_user(bob)) == {anns, nobodys}
    assert set(Listener.objects.filter(active=True).for_user(User(pk=99, is_superuser=True))) == {
        anns,
        nobodys,
    }
    ann.delete()
    anns.refresh_from_db()
    assert anns.owner is None


def test_what_is_stored_is_never_unpickled(hook):
    listener = Listener.objects.create(hook="person", url=URL, match="gASVAAAA")
    assert not hook._wants(listener, None, {"a": 1})
