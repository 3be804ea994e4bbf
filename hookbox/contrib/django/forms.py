"""Forms of listeners: where one is, and which of its hook's events it wants."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import JSONField
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from hookbox.contrib.django import match as matching
from hookbox.contrib.django.converting import compares_text, model_field, model_value
from hookbox.contrib.django.fields import url_field
from hookbox.contrib.django.match import (
    CONDITION_CONTAINS,
    CONDITION_ENDSWITH,
    CONDITION_EXACT,
    CONDITION_PASS,
    CONDITION_STARTSWITH,
    MATCHABLE_CHOICES,
    const_to_matchable,
)

KEEP = -1
"""The condition of a line that says something which the form cannot: it stays as it is."""
LONGEST = 1000
"""Characters to compare with."""

_OF_NUMBERS = [CONDITION_PASS, CONDITION_EXACT]
_WRITTEN = {
    "$startswith": CONDITION_STARTSWITH,
    "$endswith": CONDITION_ENDSWITH,
    "$contains": CONDITION_CONTAINS,
    "$text": CONDITION_EXACT,
    "$is": CONDITION_EXACT,
}


class HookConfigForm(forms.Form):
    """Where a listener is. What subclasses ask besides goes into `Listener.config`."""

    url = url_field(
        label=_("Listener URL"),
        help_text=_("Events are sent to this address with POST, as JSON."),
        widget=forms.URLInput(attrs={"placeholder": "https://example.com/hooks", "autocomplete": "url"}),
    )


class StateForm(forms.Form):
    """Whether a listener gets anything at all."""

    active = forms.BooleanField(
        label=_("Active"), required=False, help_text=_("While it is off, no events are sent to it.")
    )


def config_of(form: forms.Form) -> dict[str, Any]:
    """What a valid form says about a listener besides its address, as plain JSON."""
    values = {name: value for name, value in form.cleaned_data.items() if name != "url"}
    return dict(json.loads(json.dumps(values, cls=DjangoJSONEncoder)))


class MatchForm(forms.Form):
    """One line of a listener's condition: *argument - condition - text*; made by `match_form_for`.

    Attributes:
        argument: which of the hook's arguments it is about.
        matcher: once it is valid, what has to be true of it; None where anything will do.
    """

    hook: ClassVar[Any]
    argument: ClassVar[str]
    matcher: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        about = model_field(self.hook, self.argument)
        name = argument_label(self.hook, self.argument)
        cond, query = (self.fields[f"{self.argument}_{part}"] for part in ("cond", "query"))
        assert isinstance(cond, forms.ChoiceField)
        choices: list[Any] = [
            each
            for each in MATCHABLE_CHOICES
            if each[0] in _OF_NUMBERS or about is None or compares_text(about)
        ]
        if self.initial.get(f"{self.argument}_cond") == KEEP:
            choices.insert(0, (KEEP, _("as it is now")))
        cond.choices = choices
        cond.label = _("Condition for %(name)s") % {"name": name}
        query.label = _("Text to compare %(name)s with") % {"name": name}

    @property
    def label(self) -> str:
        """The argument for people."""
        return argument_label(self.hook, self.argument)

    @property
    def cond(self) -> forms.BoundField:
        """Its field *condition*."""
        return self[f"{self.argument}_cond"]

    @property
    def query(self) -> forms.BoundField:
        """Its field *text*."""
        return self[f"{self.argument}_query"]

    def clean(self) -> dict[str, Any]:
        """Make the matcher, or say what is wrong with the text."""
        said = super().clean() or self.cleaned_data
        condition, text = said.get(f"{self.argument}_cond"), said.get(f"{self.argument}_query")
        if condition == KEEP and text:
            problem = _("Choose a condition for this text, or leave it empty.")
            self.add_error(f"{self.argument}_query", problem)
        elif condition not in (None, CONDITION_PASS, KEEP) and text is not None:
            try:
                self.matcher = matcher_for(self.hook, self.argument, condition, text)
            except ValidationError as error:
                self.add_error(f"{self.argument}_query", error)
        return said


def match_form_for(hook: Any, name: str) -> type[MatchForm]:
    """The form for conditions of one argument of a hook; its fields are `<name>_cond` and `<name>_query`."""
    fields = {
        f"{name}_cond": forms.TypedChoiceField(
            coerce=int, empty_value=None, choices=MATCHABLE_CHOICES, initial=CONDITION_PASS, required=False
        ),
        f"{name}_query": forms.CharField(required=False, max_length=LONGEST),
    }
    return type("MatchForm", (MatchForm,), {**fields, "hook": hook, "argument": name})


def argument_label(hook: Any, name: str) -> str:
    """An argument of a hook for people."""
    field = model_field(hook, name)
    return str(capfirst(str(field.verbose_name))) if field is not None else name


def matcher_for(hook: Any, name: str, condition: int, text: str) -> Any:
    """What a line of the form says about an argument.

    Raises:
        ValidationError: there is no text, or it can be no value of the model's field.
    """
    field = model_field(hook, name)
    if condition == CONDITION_EXACT:
        return matching.Is(model_value(field, text)) if _has_one_type(field) else matching.Text(text)
    if not text:
        raise ValidationError(_("Enter the text to compare with."), code="required")
    if condition == CONDITION_CONTAINS and field is not None and field.many_to_many:
        return matching.Contains(model_value(field, text))
    return const_to_matchable(condition, text)


def _has_one_type(field: Any) -> bool:
    return field is not None and not field.many_to_many and not isinstance(field, JSONField)


def as_object(stored: Any) -> dict[str, Any]:
    """What a listener has stored, or nothing where it is no object: not every row was checked."""
    return stored if isinstance(stored, dict) else {}


def match_forms(hook: Any, stored: Any, data: Any = None) -> dict[str, forms.Form]:
    """The form for each argument of a hook, filled with what a listener has stored."""
    stored = as_object(stored)
    return {
        name: form(data, initial=_initial(name, stored)) if name in stored else form(data)
        for name, form in hook.match_forms.items()
    }


def edited(stored: Any, said: Mapping[str, forms.Form]) -> dict[str, Any]:
    """A listener's condition in JSON form, with what valid forms have changed of it.

    Raises:
        ValidationError: it is too large now.
    """
    result = dict(as_object(stored))
    for name, form in said.items():
        if form.has_changed():
            result.pop(name, None)
            matcher = _matcher_of(form, name)
            if matcher is not None:
                result[name] = matcher
    return matching.to_json(result)


def _matcher_of(form: Any, name: str) -> Any:
    if hasattr(form, "matcher"):
        return form.matcher
    condition, text = (form.cleaned_data.get(f"{name}_{part}") for part in ("cond", "query"))
    mapping = matching.mtuplelist_to_matchdict(
        [(name, condition or CONDITION_PASS, text)], exact=matching.Text
    )
    return mapping.get(name)


def _initial(name: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    condition, text = read_condition(stored[name])
    return {f"{name}_cond": condition, f"{name}_query": text}


def read_condition(written: Any) -> tuple[int, str]:
    """What a stored condition is in a form: which, and the text; `KEEP` if the form cannot say it."""
    if isinstance(written, dict):
        ((name, value),) = written.items() if len(written) == 1 else (("", None),)
        if name == "$any":
            return CONDITION_PASS, ""
        if name not in _WRITTEN or isinstance(value, dict | list):
            return KEEP, ""
        return _WRITTEN[name], _shown(value)
    return (KEEP, "") if isinstance(written, list) else (CONDITION_EXACT, _shown(written))


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def described(hook: Any, stored: Any) -> list[dict[str, str]]:
    """A condition for people: for each argument a `label`, `words` and a `text`."""
    words = dict(MATCHABLE_CHOICES)
    if not isinstance(stored, dict):
        problem = str(_("is no condition: nothing is sent"))
        return [{"label": json.dumps(stored), "words": problem, "text": ""}]
    lines = []
    for name, written in stored.items():
        condition, text = read_condition(written)
        if condition == KEEP:
            said = {"words": str(_("matches")), "text": json.dumps(written, ensure_ascii=False)}
        elif condition == CONDITION_EXACT:
            said = {"words": str(_("is")) if text else str(_("is empty")), "text": text}
        else:
            said = {"words": str(words[condition]), "text": text}
        if condition != CONDITION_PASS:
            lines.append({"label": argument_label(hook, name), **said})
    return lines
