"""The forms of listeners: where one is, and what it wants to know."""

import warnings
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import JSONField
from project.library.models import Book

from hookbox.contrib.django.converting import compares_text, model_value
from hookbox.contrib.django.fields import url_field
from hookbox.contrib.django.forms import (
    KEEP,
    HookConfigForm,
    described,
    edited,
    match_form_for,
    match_forms,
    read_condition,
)
from hookbox.contrib.django.match import (
    CONDITION_CONTAINS,
    CONDITION_ENDSWITH,
    CONDITION_EXACT,
    CONDITION_PASS,
    CONDITION_STARTSWITH,
    Contains,
    Endswith,
    Is,
    Like,
    Startswith,
    Text,
)
from hookbox.contrib.django.models import Listener


class PlainHook:
    provides_args = ("name",)


class BookHook:
    model = Book


def said(hook, name, condition, query=""):
    form = match_form_for(hook, name)({f"{name}_cond": condition, f"{name}_query": query})
    return form.matcher if form.is_valid() else form.errors


def test_there_are_five_conditions_and_none_is_a_regular_expression():
    form = match_form_for(PlainHook(), "name")()
    assert [(value, str(label)) for value, label in form.fields["name_cond"].choices] == [
        (CONDITION_PASS, "anything"),
        (CONDITION_EXACT, "exact"),
        (CONDITION_STARTSWITH, "starts with"),
        (CONDITION_ENDSWITH, "ends with"),
        (CONDITION_CONTAINS, "contains"),
    ]
    assert "like" not in form.as_p().lower()
    assert "name_cond" in said(PlainHook(), "name", 5, "^J")


@pytest.mark.parametrize(
    ("condition", "matcher"),
    [
        (CONDITION_PASS, None),
        ("", None),
        (CONDITION_EXACT, Text("J")),
        (CONDITION_STARTSWITH, Startswith("J")),
        (CONDITION_ENDSWITH, Endswith("J")),
        (CONDITION_CONTAINS, Contains("J")),
    ],
)
def test_a_line_becomes_a_matcher(condition, matcher):
    found = said(PlainHook(), "name", condition, "J")
    assert type(found) is type(matcher)
    assert found == matcher


def test_a_line_that_is_not_sent_asks_nothing():
    form = match_form_for(PlainHook(), "name")({})
    assert form.is_valid()
    assert form.matcher is None


def test_text_is_needed_where_something_is_looked_for():
    assert "name_query" in said(PlainHook(), "name", CONDITION_STARTSWITH)
    assert said(PlainHook(), "name", CONDITION_EXACT) == Text("")


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("id", "7", 7),
        ("title", "7", "7"),
        ("title", "", ""),
        ("author", "7", 7),
        ("author_id", "7", 7),
        ("price", "9.5", "9.50"),
        ("price", "", None),
        ("published_at", "", None),
        ("published_at", "2026-03-01 10:00+02:00", "2026-03-01T08:00:00Z"),
    ],
)
def test_exact_is_as_the_model_has_it(name, typed, value):
    found = said(BookHook(), name, CONDITION_EXACT, typed)
    assert type(found) is Is
    assert found.to_json() == {"$is": value}


@pytest.mark.parametrize(
    ("name", "typed"), [("author", "Joe"), ("price", "1e99999"), ("published_at", "soon"), ("id", "")]
)
def test_what_can_be_no_value_of_the_field_is_an_error(name, typed):
    assert f"{name}_query" in said(BookHook(), name, CONDITION_EXACT, typed)


def test_a_time_without_zone_is_in_the_projects():
    assert model_value(Book._meta.get_field("published_at"), "2026-03-01 10:00") == "2026-03-01T16:00:00Z"


def test_numbers_can_only_be_exact():
    choices = match_form_for(BookHook(), "author")().fields["author_cond"].choices
    assert [value for value, _ in choices] == [CONDITION_PASS, CONDITION_EXACT]
    assert "author_cond" in said(BookHook(), "author", CONDITION_STARTSWITH, "1")


def test_other_types():
    assert model_value(models.BooleanField(), "true") is True
    assert model_value(models.BooleanField(null=True), "") is None
    assert model_value(models.FloatField(), "1") == 1.0
    assert compares_text(models.UUIDField())
    assert not compares_text(models.BooleanField())
    field = models.DecimalField(max_digits=8, decimal_places=2)
    assert Decimal(model_value(field, "1")) == 1


def test_a_list_of_keys_contains_a_key():
    assert said(BookHook(), "readers", CONDITION_CONTAINS, "3").to_json() == {"$contains": 3}


def test_free_json_is_compared_as_text():
    class Thing(models.Model):
        data = JSONField()

        class Meta:
            app_label = "nowhere"

    class ThingHook:
        model = Thing

    assert said(ThingHook(), "data", CONDITION_EXACT, "1") == Text("1")


def test_a_model_that_is_not_loaded_yet_is_no_problem():
    class EarlyHook:
        model = "library.Book"

    assert said(EarlyHook(), "author", CONDITION_EXACT, "1") == Text("1")


# what is stored, shown again


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ({"$startswith": "J"}, (CONDITION_STARTSWITH, "J")),
        ({"$text": "J"}, (CONDITION_EXACT, "J")),
        ({"$is": 7}, (CONDITION_EXACT, "7")),
        ({"$is": None}, (CONDITION_EXACT, "")),
        (True, (CONDITION_EXACT, "true")),
        ({"$any": True}, (CONDITION_PASS, "")),
        ({"$like": "^J"}, (KEEP, "")),
        ({"$is": {"a": 1}}, (KEEP, "")),
        ({"first": "J"}, (KEEP, "")),
        ({}, (KEEP, "")),
        ([1], (KEEP, "")),
    ],
)
def test_a_stored_condition_is_shown_as_it_would_be_made(written, shown):
    assert read_condition(written) == shown


class TwoLines:
    def __init__(self):
        self.match_forms = {name: match_form_for(self, name) for name in ("name", "address")}


def test_what_is_not_touched_stays_as_it_is():
    stored = {"name": "Joe", "address": {"$like": "x+"}, "deep": {"er": 1}}
    first = match_forms(TwoLines(), stored)
    assert [form.cond.value() for form in first.values()] == [CONDITION_EXACT, KEEP]
    data = {"name_cond": "1", "name_query": "Joe", "address_cond": str(KEEP), "address_query": ""}
    again = match_forms(TwoLines(), stored, data)
    assert all(form.is_valid() for form in again.values())
    assert edited(stored, again) == stored


def test_what_is_changed_is_changed():
    stored = {"name": {"$startswith": "J"}, "address": {"$like": "x+"}}
    data = {"name_cond": "0", "name_query": "J", "address_cond": "4", "address_query": "x"}
    forms = match_forms(TwoLines(), stored, data)
    assert all(form.is_valid() for form in forms.values())
    assert edited(stored, forms) == {"address": {"$contains": "x"}}


def test_text_beside_something_that_is_kept_is_an_error_and_takes_nothing_away():
    stored = {"address": {"$like": "x+"}}
    data = {"name_cond": "0", "address_cond": str(KEEP), "address_query": "typed"}
    forms = match_forms(TwoLines(), stored, data)
    assert forms["name"].is_valid()
    assert "address_query" in forms["address"].errors


def test_nobody_can_make_up_something_to_keep():
    forms = match_forms(TwoLines(), {}, {"name_cond": str(KEEP)})
    assert not forms["name"].is_valid()


def test_conditions_in_words():
    stored = {"name": {"$startswith": "J"}, "age": 7, "address": {"$text": ""}, "x": {"$any": True}}
    assert [" ".join(line.values()).strip() for line in described(TwoLines(), stored)] == [
        "name starts with J",
        "age is 7",
        "address is empty",
    ]
    assert described(None, {"name": Like("x").to_json()}) == [
        {"label": "name", "words": "matches", "text": '{"$like": "x"}'}
    ]


# addresses


@pytest.mark.parametrize("url", ["ftp://example.com/", "javascript:alert(1)", "nonsense", "http://", ""])
def test_only_addresses_of_the_web_are_taken(url):
    assert "url" in HookConfigForm({"url": url}).errors


def test_an_address_field_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert url_field().clean("https://example.com/hooks") == "https://example.com/hooks"
        field = Listener._meta.get_field("url").formfield()
        assert field.widget.input_type == "url"
        assert field.required
        with pytest.raises(ValidationError):
            field.clean("ftp://example.com")


def test_an_address_may_be_on_this_machine():
    assert HookConfigForm({"url": "http://localhost:8000/durian/debug/?status=500"}).is_valid()
