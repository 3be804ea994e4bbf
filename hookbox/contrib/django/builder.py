"""New listeners, told step by step: `hook.listener(url=...).match(name="Joe").save()`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from hookbox.contrib.django.listening import new_secret
from hookbox.contrib.django.match.written import to_json
from hookbox.contrib.django.payload import NotJSON, to_plain_object

if TYPE_CHECKING:
    from hookbox.contrib.django.models import Listener


class ListenerBuilder:
    """A listener that is not saved yet; each step returns the builder.

    Args:
        hook: the name of its hook, registered or not.
        form: where it is, as a form with data; or
        url: where it is, and
        config: what else is kept about it.

    Raises:
        TypeError: both form and URL were given, or neither.
    """

    def __init__(
        self, hook: str, form: Any = None, *, url: str | None = None, config: Mapping[str, Any] | None = None
    ) -> None:
        if (form is None) == (url is None):
            raise TypeError("listener() takes a form with data, or url=..., and one of them")
        if form is not None and config:
            raise TypeError(f"listener() takes {', '.join(config)} from the form")
        self._hook, self._form, self._url, self._config = hook, form, url, dict(config or {})
        self._match: dict[str, Any] = {}
        self._owner: Any = None
        self._secret: str | None = None

    def match(self, match: Mapping[str, Any] | None = None, /, **more: Any) -> Self:
        """Tell it only what matches: arguments of the hook, with values, matchers, or conditions inside.

        A second call adds to the first.
        """
        self._match |= {**(match or {}), **more}
        return self

    def owner(self, user: Any) -> Self:
        """Whose it is."""
        self._owner = user
        return self

    def secret(self, secret: str) -> Self:
        """What its messages are signed with, instead of a new one; empty for no signature."""
        self._secret = secret
        return self

    def save(self, using: str | None = None) -> Listener:
        """Create it.

        Args:
            using: alias of the database in which it is to be; the router's choice unless given.

        Raises:
            ValidationError: something about it is wrong; says what by field.
        """
        listener = self._made()
        listener._state.db = using
        listener.full_clean()
        listener.save(force_insert=True, using=using)
        return listener

    def _made(self) -> Listener:
        from hookbox.contrib.django.models import Listener

        url, config = self._place()
        listener = Listener(
            hook=self._hook, url=url, config=config, match=self._condition(), owner=self._known_owner()
        )
        listener.secret = new_secret() if self._secret is None else self._secret
        listener.hook_may_be_unknown = True
        return listener

    def _place(self) -> tuple[str, dict[str, Any]]:
        url, config = self._url or "", self._config
        if self._form is not None:
            if not self._form.is_valid():
                raise ValidationError(self._form.errors.as_data())
            config = dict(self._form.cleaned_data)
            url = config.pop("url", "")
        try:
            return url, dict(to_plain_object(config))
        except NotJSON as error:
            raise ValidationError({"config": str(error)}) from error

    def _condition(self) -> dict[str, Any]:
        try:
            return dict(to_json(self._match))
        except ValidationError as error:
            raise ValidationError({"match": error}) from error

    def _known_owner(self) -> Any:
        if self._owner is not None and self._owner.pk is None:
            raise ValidationError({"owner": _("The owner has to be a user who is saved.")})
        return self._owner


IntermediateListener = ListenerBuilder
"""What Durian called it."""
