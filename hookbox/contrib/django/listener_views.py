"""The pages on which people make listeners to hooks, and look after them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from hookbox.contrib.django import conf, secret_once
from hookbox.contrib.django.debugging import debug
from hookbox.contrib.django.errors import DeliveryFailed, HookboxError
from hookbox.contrib.django.forms import (
    HookConfigForm,
    StateForm,
    argument_label,
    as_object,
    config_of,
    described,
    edited,
    match_forms,
)
from hookbox.contrib.django.listener_rows import row
from hookbox.contrib.django.listening import new_secret
from hookbox.contrib.django.models import Listener
from hookbox.contrib.django.registry import hooks

logger = logging.getLogger("hookbox.django")

__all__ = ["create", "debug", "delete", "edit", "index", "select", "test"]

PAGE = 50
"""Listeners on one page of the list."""

SWITCHED_ON = {"active": True, "disabled_reason": "", "failures": 0}
SWITCHED_OFF = {"active": False, "disabled_reason": ""}

_EDITED = ["url", "config", "match", "active", "disabled_reason", "failures", "updated_at"]

View = Callable[..., HttpResponse]


def _needs(*verbs: str) -> Callable[[View], View]:
    """Have a view seen only by who is logged in and may do one of these with listeners."""

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not any(request.user.has_perm(f"hookbox.{verb}_listener") for verb in verbs):
                raise PermissionDenied(_("You may not do this with listeners."))
            return view(request, *args, **kwargs)

        return login_required(never_cache(guarded))

    return guard


def changeable(user: Any) -> QuerySet[Listener]:
    """The listeners that somebody may change, given the permission: their own, and for staff all they see."""
    seen: QuerySet[Listener] = Listener.objects.for_user(user)
    return seen if user.is_staff else seen.filter(owner=user)


def _own(request: HttpRequest, uuid: UUID) -> Listener:
    return get_object_or_404(changeable(request.user), uuid=uuid)


def _page(request: HttpRequest, name: str, **context: Any) -> HttpResponse:
    may_debug = conf.debug_view() and getattr(request.user, "is_staff", False)
    may = {verb: request.user.has_perm(f"hookbox.{verb}_listener") for verb in ("add", "change", "delete")}
    shown = {"may": may, "may_debug": may_debug, **context}
    return render(request, f"hookbox/listeners/{name}.html", shown)


@require_safe
@_needs("view", "add", "change", "delete")
def index(request: HttpRequest) -> HttpResponse:
    """The listeners of whoever looks; of everybody, for who may see those."""
    seen = Listener.objects.for_user(request.user).select_related("owner").order_by("-created_at", "-pk")
    page = Paginator(seen, PAGE).get_page(request.GET.get("page"))
    mine = set(
        changeable(request.user).filter(pk__in=[each.pk for each in page]).values_list("pk", flat=True)
    )
    return _page(
        request,
        "list",
        place="list",
        page=page,
        rows=[row(listener, changeable=listener.pk in mine) for listener in page],
        everybody=request.user.has_perm("hookbox.view_all_listeners"),
        new=secret_once.take(request, changeable(request.user)),
    )


@require_safe
@_needs("add")
def select(request: HttpRequest) -> HttpResponse:
    """Which event is to be listened to."""
    choices = [
        {
            "name": name,
            "label": label,
            "arguments": [argument_label(hooks[name], each) for each in hooks[name].provides_args],
            "address": request.GET.get("url", ""),
        }
        for name, label in hooks.as_choices()
    ]
    return _page(request, "select", place="select", choices=choices)


@require_http_methods(["GET", "HEAD", "POST"])
@_needs("add")
def create(request: HttpRequest) -> HttpResponse:
    """A new listener to the hook that `type` names."""
    name = request.GET.get("type") or request.POST.get("type") or ""
    hook = hooks.get(name)
    if hook is None:
        raise Http404(f"no hook is called {name[:120]}")
    data = request.POST if request.method == "POST" else None
    form = hook.config_form(data, initial={"url": request.GET.get("url", "")})
    conditions = match_forms(hook, {}, data)
    if data is not None and _all_valid([form, *conditions.values()]):
        listener = Listener(hook=hook.name, owner=request.user, secret=new_secret())  # type: ignore[misc]  # somebody
        if _saved(listener, form, conditions):
            secret_once.remember(request, listener)
            messages.success(request, _("The listener has been created."), fail_silently=True)
            return redirect("durian:list")
    return _form_page(request, "create", form, conditions, hook=hook, label=hook.verbose_name)


@require_http_methods(["GET", "HEAD", "POST"])
@_needs("change")
def edit(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Change a listener; with the button `rotate`, give it another secret."""
    listener = _own(request, uuid)
    if request.method == "POST" and "rotate" in request.POST:
        secret_once.rotate(request, listener)
        messages.success(request, _("The listener has a new secret."), fail_silently=True)
        return redirect("durian:list")
    hook = hooks.get(listener.hook)
    data = request.POST if request.method == "POST" else None
    form_class = hook.config_form if hook else HookConfigForm
    form = form_class(data, initial={**as_object(listener.config), "url": listener.url})
    state = StateForm(data, initial={"active": listener.active})
    conditions = match_forms(hook, listener.match, data) if hook else {}
    if data is not None and _all_valid([form, state, *conditions.values()]):
        if state.has_changed():
            switch(listener, state.cleaned_data["active"])
        if _saved(listener, form, conditions):
            messages.success(request, _("The listener has been changed."), fail_silently=True)
            return redirect("durian:list")
    return _form_page(
        request,
        "edit",
        form,
        conditions,
        hook=hook,
        label=hook.verbose_name if hook else listener.hook,
        listener=listener,
        state=state,
        fixed=_beyond(hook, listener),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@_needs("delete")
def delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask, and delete a listener."""
    listener = _own(request, uuid)
    if request.method == "POST":
        listener.delete()
        messages.success(request, _("The listener has been deleted."), fail_silently=True)
        return redirect("durian:list")
    return _page(request, "delete", place="list", row=row(listener, changeable=True))


@require_POST
@_needs("change")
def test(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Send a listener a test, and tell what became of it on the list."""
    level, text = tested(_own(request, uuid))
    messages.add_message(request, level, text, fail_silently=True)
    return redirect("durian:list")


def tested(listener: Listener) -> tuple[int, str]:
    """Send a test; a level of messages, and what became of it."""
    hook = hooks.get(listener.hook)
    if hook is None:
        return messages.ERROR, _("No hook is called “%(hook)s” any more.") % {"hook": listener.hook}
    try:
        result = hook.test(listener)
    except (HookboxError, DeliveryFailed) as error:
        return messages.ERROR, _("The test could not be sent: %(error)s") % {"error": error}
    except Exception:  # of a backend or a hook of the project's own; its text is not for everybody
        logger.exception("a test of listener %s could not be sent", listener.uuid)
        return messages.ERROR, _("The test could not be sent. The log says why.")
    if result.status == "failed":
        return messages.ERROR, _("The test has failed: %(error)s") % {"error": result.error}
    if result.status == "delivered":
        return messages.SUCCESS, _("%(url)s has got the test.") % {"url": listener.url}
    return messages.SUCCESS, _("A test is on its way to %(url)s.") % {"url": listener.url}


def switch(listener: Listener, active: bool) -> None:
    """Switch a listener on, to begin anew, or off. It is not saved."""
    for name, value in (SWITCHED_ON if active else SWITCHED_OFF).items():
        setattr(listener, name, value)


def _all_valid(given: list[Any]) -> bool:
    """Whether all are; each is looked at, as all errors are to be seen at once."""
    return not [form for form in given if not form.is_valid()]


def _saved(listener: Listener, form: forms.Form, conditions: dict[str, forms.Form]) -> bool:
    """Save what valid forms say about a listener; else the first form says what is wrong."""
    listener.url = form.cleaned_data["url"]
    listener.config = {**as_object(listener.config), **config_of(form)}
    try:
        listener.match = edited(listener.match, conditions)
        listener.full_clean()
    except ValidationError as error:
        for name, problems in getattr(error, "message_dict", {"": error.messages}).items():
            form.add_error("url" if name == "url" else None, problems)
        return False
    listener.save(update_fields=None if listener._state.adding else _EDITED)
    return True


def _beyond(hook: Any, listener: Listener) -> list[dict[str, str]]:
    """What a listener's condition says that no line of the form is about."""
    lines, stored = hook.match_forms if hook else {}, as_object(listener.match)
    return described(hook, {name: said for name, said in stored.items() if name not in lines})


def _form_page(
    request: HttpRequest, name: str, form: forms.Form, conditions: dict[str, forms.Form], **context: Any
) -> HttpResponse:
    everything = [form, *conditions.values(), *([context["state"]] if "state" in context else [])]
    for each in everything:
        _describe(each)
    debug_at = request.build_absolute_uri(reverse("durian:debug")) if conf.debug_view() else ""
    return _page(
        request,
        name,
        place="select" if name == "create" else "list",
        form=form,
        conditions=conditions.values(),
        wrong=[
            {"field": field, "label": getattr(each, "label", field.label)}
            for each in everything
            for field in each
            if field.errors
        ],
        debug_at=debug_at,
        **context,
    )


def _describe(form: forms.Form) -> None:
    """Tie help and errors to their fields for who does not see them; Django before 5.2 does not."""
    for field in form:
        parts = [("help", field.help_text), ("error", field.errors)]
        ids = [f"{field.auto_id}_{part}" for part, there in parts if there]
        if ids:
            field.field.widget.attrs["aria-describedby"] = " ".join(ids)
        if field.errors:
            field.field.widget.attrs["aria-invalid"] = "true"
