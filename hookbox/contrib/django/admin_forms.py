"""Forms of the admin's pages about listeners."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hookbox.contrib.django.match import has_like
from hookbox.contrib.django.models import Listener
from hookbox.contrib.django.registry import hooks

_CODE = {"cols": 80, "class": "vLargeTextField", "spellcheck": "false"}


def _yesterday() -> datetime:
    return timezone.localtime() - timedelta(days=1)


class ReplayForm(forms.Form):
    """From when on failures are to be tried again."""

    since = forms.SplitDateTimeField(
        label=gettext_lazy("Since"),
        initial=_yesterday,
        widget=forms.SplitDateTimeWidget(
            date_attrs={"type": "date"}, date_format="%Y-%m-%d",
            time_attrs={"type": "time"}, time_format="%H:%M",
        ),
    )  # fmt: skip


class IndentedJSONField(forms.JSONField):
    """JSON for people to read and change."""

    def to_python(self, value: Any) -> Any:
        """As Django does, which does not expect more brackets than Python can read."""
        try:
            return super().to_python(value)
        except RecursionError:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What somebody has typed: as a value if it is JSON, else as the text."""
        try:
            return super().bound_data(data, initial)
        except RecursionError:
            return InvalidJSONInput(data)

    def prepare_value(self, value: Any) -> Any:
        """Indented, unless it is what somebody has just typed and no JSON."""
        if isinstance(value, InvalidJSONInput):
            return value
        try:
            indented = json.dumps(value, indent=2, ensure_ascii=False)
            indented.encode()
        except (UnicodeEncodeError, RecursionError):
            return json.dumps(value)  # half a surrogate pair can only be shown as it is escaped
        return indented


class ListenerForm(forms.ModelForm):  # type: ignore[type-arg]  # generic for mypy only
    """A listener in the admin. A hook that is not registered can stay, but not be chosen."""

    hook = forms.ChoiceField(label=gettext_lazy("Hook"))
    match = IndentedJSONField(
        widget=forms.Textarea(attrs={"rows": 8, **_CODE}),
        label=gettext_lazy("Condition"),
        required=False,
        help_text=gettext_lazy('JSON, for example {"name": {"$startswith": "J"}}; empty for every event.'),
    )
    config = IndentedJSONField(
        widget=forms.Textarea(attrs={"rows": 3, **_CODE}), label=gettext_lazy("Configuration"), required=False
    )

    requester: Any = None
    """Who is at work; set by `ListenerAdmin`."""

    class Meta:
        model = Listener
        fields = ["hook", "url", "match", "config", "active", "owner"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stored = self.instance.hook
        choices = list(hooks.as_choices())
        if stored and stored not in hooks:
            choices.append((stored, _("%(hook)s (not registered)") % {"hook": stored}))
        if isinstance(hook := self.fields.get("hook"), forms.ChoiceField):
            hook.choices = choices

    def add_error(self, field: str | None, error: Any) -> None:
        """As Django does; what is wrong with a field that is not here is said above the others."""
        problems = getattr(error, "error_dict", None)
        if field is None and problems:
            for name, found in problems.items():
                super().add_error(name if name in self.fields else None, found)
            return
        super().add_error(field, error)

    def clean_match(self) -> dict[str, Any]:
        """An object; regular expressions are for superusers, as they can hold up the whole process."""
        given = self.cleaned_data["match"] or {}
        if not isinstance(given, dict):
            raise ValidationError(_("A condition is a JSON object."), code="invalid")
        allowed = self.requester is not None and self.requester.is_superuser
        if has_like(given) and not allowed and given != self.instance.match:
            raise ValidationError(_("Only superusers may use $like."), code="like")
        return given

    def clean_config(self) -> dict[str, Any]:
        """An object."""
        given = self.cleaned_data["config"] or {}
        if not isinstance(given, dict):
            raise ValidationError(_("A configuration is a JSON object."), code="invalid")
        return given
