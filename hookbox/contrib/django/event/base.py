"""A hook: something that can happen, and who is told of it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import router
from django.utils import timezone

from hookbox.contrib.django.builder import ListenerBuilder
from hookbox.contrib.django.event.lazy import ConfigForm, MatchForms
from hookbox.contrib.django.event.legacy import WebhookSignal, apply_task, is_usual
from hookbox.contrib.django.event.options import apply_options, callable_option, read_name, read_names
from hookbox.contrib.django.listening import listeners_in
from hookbox.contrib.django.match import CONDITION_PASS, Text, const_to_matchable
from hookbox.contrib.django.match.strategy import fits
from hookbox.contrib.django.payload import to_plain, to_plain_object, to_text
from hookbox.contrib.django.sending import road
from hookbox.contrib.django.sending.jobs import Job, SendResult, Target
from hookbox.core.values import JSONObject

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from hookbox.contrib.django.models import Listener

_database: ContextVar[str | None] = ContextVar("hookbox_database", default=None)
"""Where what is being sent has happened; methods that projects override know nothing of it."""

Applier = Callable[[Job, Sequence["Listener"]], list[SendResult]]

logger = logging.getLogger(__name__)


class Hook:
    """Something that can happen. `send` tells its listeners.

    What the attributes say can be given as arguments too, which come before the class's unless they are None.

    Attributes:
        name: of the hook, unique among those that are registered; `module.ClassName` unless given. Receivers
            see it as `hookbox-type`.
        verbose_name: for people; may be lazy.
        provides_args: what its payload usually has.
        timeout: seconds for one attempt.
        async_: hand messages to `HOOKBOX_HOOK_BACKEND`; else they are posted here and now.
        retry, max_retries: whether a failed attempt is followed by others, and by how many at most.
        fail_silently: log what fails instead of raising.
        on_commit: send after the commit. None: as `HOOKBOX_ON_COMMIT` says for hooks of signals and models,
            at once for others.
        task_cls: a task of yours that sends, with `apply_async(args, kwargs)` and `apply(args, kwargs)`.
        config_form: the form in which people say where their listener is.
        match_forms: the forms in which they say what it wants, by argument.
        envelope: "standard" sends `{"type", "timestamp", "data"}` instead of the payload alone.
        topic: where it is published for browsers too: a channel, or a function of the payload.

    Raises:
        TypeError: an argument is unknown.
        ImproperlyConfigured: an attribute cannot be used.
    """

    OPTIONS: ClassVar[frozenset[str]] = frozenset(
        {
            "name", "verbose_name", "provides_args", "timeout", "async_", "retry", "max_retries",
            "fail_silently", "on_commit", "task_cls", "config_form", "match_forms", "envelope", "topic",
        }
    )  # fmt: skip

    name: str = ""
    verbose_name: Any = ""
    provides_args: Any = ()
    timeout: float = 4
    async_: bool = True
    retry: bool = False
    max_retries: int = 3
    fail_silently: bool = False
    on_commit: bool | None = None
    task_cls: Any = WebhookSignal
    config_form: Any = ConfigForm()
    match_forms: Any = MatchForms()
    envelope: str | None = None
    topic: Any = None

    def __init__(self, name: str | None = None, **options: Any) -> None:
        apply_options(self, {"name": name, **options})
        self.name = read_name(type(self), self.name)
        self.verbose_name = self.verbose_name or self.name
        if self.provides_args is not None:
            self.provides_args = read_names("provides_args", self.provides_args)
        if self.envelope not in (None, "standard"):
            raise ImproperlyConfigured(
                f"hook {self.name}: envelope {self.envelope!r}; there is only 'standard'"
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def send(self, /, sender: Any = None, **payload: Any) -> list[SendResult]:
        """Tell those listeners that want it.

        Args:
            sender: where it happened; only the hook's own methods see it.
            payload: what happened; anything that JSON can hold.

        Returns:
            one result for each listener that was selected.

        Raises:
            NotJSON: the payload cannot be sent.
            DeliveryFailed, HookboxError: some listener was not told; the others were. With `fail_silently` it
                is in the log, and nothing is raised.
        """
        try:
            return self._send(sender, payload)
        except Exception:
            if not self.fail_silently:
                raise
            logger.exception("hook %s could not be sent", self.name)
            return []

    async def asend(self, /, sender: Any = None, **payload: Any) -> list[SendResult]:
        """`send` for asynchronous code."""
        return await sync_to_async(partial(self.send, sender, **payload))()

    def test(self, listener: Listener) -> SendResult:
        """Send `{"test": true}` to one listener, active or not, as type `<name>.test`.

        Raises:
            DeliveryFailed, HookboxError: it could not be sent.
        """
        name = f"{self.name}.test"
        using = listener._state.db or self.get_using({})
        job = self._job(name, {"test": True}, [listener], using)
        (result,) = self._applier(self.async_, on_commit=False, fail_silently=False)(job, [listener])
        return result

    def prepare_payload(self, sender: Any, payload: dict[str, Any]) -> Mapping[str, Any]:
        """What is sent, of what `send` was called with. For subclasses."""
        return payload

    def event_filter(self, sender: Any, payload: JSONObject, match: Any) -> bool:
        """Whether a listener with this condition wants the payload. For subclasses."""
        return not match or fits(match, payload)

    def get_queryset(self) -> QuerySet[Listener]:
        """The listeners of this hook, whatever they want. For subclasses."""
        from hookbox.contrib.django.models import Listener

        using = _database.get()
        rows = Listener.objects.using(listeners_in(using)) if using else Listener.objects.all()
        return rows.filter(hook=self.name, active=True)

    def get_listeners(self, sender: Any, payload: JSONObject) -> list[Listener]:
        """The active listeners that want a payload, oldest first.

        One whose condition or configuration cannot be read, or fails, gets nothing; the log says so.
        """
        return [each for each in self.get_queryset().order_by("pk") if self._wants(each, sender, payload)]

    def get_topic(self, payload: JSONObject) -> str:
        """The channel on which a payload is published too; empty for none."""
        function = callable_option(self, "topic")
        return str((function(payload) if function else self.topic) or "")

    def get_using(self, payload: Mapping[str, Any]) -> str:
        """The alias of the database in which it happens: its commit is waited for, its listeners are told."""
        from hookbox.contrib.django.models import Listener

        return router.db_for_write(Listener)

    def get_applier(self, async_: bool | None = None) -> Applier:
        """What sends a message to listeners.

        Args:
            async_: instead of what the hook says.
        """
        runs_async = self.async_ if async_ is None else async_
        return self._applier(runs_async, on_commit=self.waits_for_commit(), fail_silently=self.fail_silently)

    def waits_for_commit(self) -> bool:
        """Whether messages are held back until the commit."""
        return bool(self.on_commit)

    def listener(self, form: Any = None, *, url: str | None = None, **config: Any) -> ListenerBuilder:
        """Begin a new listener: `hook.listener(url=...).match(name="Joe").save()`.

        Args:
            form: a `config_form` with data; or
            url: where it listens, and `config`, what else is to be kept about it (`headers`).
        """
        return ListenerBuilder(self.name, form, url=url, config=config)

    def add_listener(self, url: str, match: Mapping[str, Any] | None = None, **config: Any) -> Listener:
        """Create a listener.

        Raises:
            ValidationError: something about it is wrong.
        """
        return self.listener(url=url, **config).match(match or {}).save()

    def add_listener_by_form(self, form: Any, match: Mapping[str, Any] | None = None) -> Listener:
        """Create a listener from a `config_form` with data.

        Raises:
            ValidationError: something about it is wrong.
        """
        return self.listener(form).match(match or {}).save()

    def get_match_forms(self, **kwargs: Any) -> list[Any]:
        """The forms for a condition, one for each argument.

        Args:
            kwargs: what each of them is made with, such as `data`.
        """
        return [form(**kwargs) for form in self.match_forms.values()]

    def apply_match_forms(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The condition that was filled into the forms.

        Raises:
            ValidationError: one of them is not valid.
        """
        match: dict[str, Any] = {}
        for name, form_class in self.match_forms.items():
            form = form_class(data)
            if not form.is_valid():
                raise ValidationError(form.errors.as_data())
            matcher = _matcher_of(form, name)
            if matcher is not None:
                match[name] = matcher
        return match

    @property
    def task_keywords(self) -> dict[str, Any]:
        """What a task of one's own gets besides URL and payload."""
        names = ("retry", "max_retries", "fail_silently", "timeout")
        return {name: getattr(self, name) for name in names}

    def _send(self, sender: Any, payload: dict[str, Any]) -> list[SendResult]:
        using = self.get_using(payload)
        plain = to_plain_object(self.prepare_payload(sender, payload))
        token = _database.set(using)
        try:
            listeners = self.get_listeners(sender, plain)
        finally:
            _database.reset(token)
        topic = self.get_topic(plain)
        if not listeners and not topic:
            return []
        return self.get_applier()(self._job(self.name, plain, listeners, using, topic), listeners)

    def _wants(self, listener: Listener, sender: Any, payload: JSONObject) -> bool:
        try:
            if not self.event_filter(sender, payload, listener.get_match()):
                return False
        except Exception:
            logger.exception("the condition of listener %s cannot be used; it gets nothing", listener.uuid)
            return False
        try:
            listener.get_headers()
        except ValidationError:
            logger.exception("the config of listener %s cannot be used; it gets nothing", listener.uuid)
            return False
        return True

    def _job(
        self, name: str, payload: JSONObject, listeners: Iterable[Listener], using: str, topic: str = ""
    ) -> Job:
        targets = tuple(Target(str(each.uuid), each.url, each.get_headers()) for each in listeners)
        return Job(
            id=str(uuid.uuid4()),
            hook=name,
            body=to_text(self._enveloped(name, payload)),
            targets=targets,
            using=using,
            timeout=self.timeout,
            retry=self.retry,
            max_retries=self.max_retries,
            topic=topic,
        )

    def _enveloped(self, name: str, payload: JSONObject) -> JSONObject:
        if self.envelope is None:
            return payload
        return {"type": name, "timestamp": to_plain(timezone.now()), "data": payload}

    def _applier(self, async_: bool, *, on_commit: bool, fail_silently: bool) -> Applier:
        if is_usual(self.task_cls) or road.is_recording():
            return partial(road.send, async_=async_, on_commit=on_commit, fail_silently=fail_silently)
        return partial(
            apply_task,
            task=self.task_cls,
            keywords={**self.task_keywords, "fail_silently": fail_silently},
            async_=async_,
            on_commit=on_commit,
        )

    def registered(self) -> None:
        """Called when the hook has been registered."""

    def unregistered(self) -> None:
        """Called when it no longer is."""


def _matcher_of(form: Any, name: str) -> Any:
    """What a valid form says about an argument; None for nothing."""
    if hasattr(form, "matcher"):
        return form.matcher
    condition = int(form.cleaned_data.get(f"{name}_cond") or CONDITION_PASS)
    if condition == CONDITION_PASS:
        return None
    return const_to_matchable(condition, form.cleaned_data.get(f"{name}_query", ""), exact=Text)
