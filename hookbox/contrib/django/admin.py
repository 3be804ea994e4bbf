"""Listeners and the outbox in Django's admin."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.widgets import AdminURLFieldWidget
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from hookbox.contrib.django import deliveries, secret_once
from hookbox.contrib.django.admin_forms import ListenerForm, ReplayForm
from hookbox.contrib.django.errors import HookboxError
from hookbox.contrib.django.fields import WebAddressField
from hookbox.contrib.django.listener_views import SWITCHED_OFF, SWITCHED_ON, switch, tested
from hookbox.contrib.django.listening import new_secret
from hookbox.contrib.django.models import Listener, OutboxEntry
from hookbox.contrib.django.registry import hooks

MOST_TESTS = 20
"""Listeners that one action sends a test to: each may take a while."""


class HealthFilter(admin.SimpleListFilter):
    """Listeners by whether they get on with whom they are for."""

    title = gettext_lazy("health")
    parameter_name = "health"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The choices."""
        return [("failing", _("Failing")), ("disabled", _("Off, with a reason")), ("well", _("No failures"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """What is left."""
        match self.value():
            case "failing":
                return queryset.filter(failures__gt=0)
            case "disabled":
                return queryset.filter(active=False).exclude(disabled_reason="")
            case "well":
                return queryset.filter(failures=0)
        return queryset


@admin.register(Listener)
class ListenerAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic for mypy only
    """Listeners: their own ones for staff, all for who has `view_all_listeners`."""

    form = ListenerForm
    list_display = ["hook", "address", "active", "last_status", "failures", "owner"]
    list_display_links = ["hook", "address"]
    list_filter = ["active", HealthFilter, "hook", "last_status", "created_at"]
    list_select_related = ["owner"]
    search_fields = ["url", "hook", "uuid"]
    raw_id_fields = ["owner"]
    actions = ["enable", "disable", "send_test", "replay_failures"]
    formfield_overrides = {WebAddressField: {"widget": AdminURLFieldWidget}}
    readonly_fields = [
        "secret_shown", "uuid", "created_at", "updated_at", "disabled_reason",
        "failures", "last_status", "last_success_at", "last_failure_at", "recent_deliveries",
    ]  # fmt: skip

    # what is shown

    def get_queryset(self, request: HttpRequest) -> QuerySet[Listener]:
        """As on the listeners' own pages."""
        seen: QuerySet[Listener] = Listener.objects.for_user(request.user)
        return seen.order_by(*(self.get_ordering(request) or ["-created_at", "-pk"]))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What there is to say, and below it how the listener fares."""
        said = ["hook", "url", "match", "config", "active", "owner"]
        if obj is None:
            return [(None, {"fields": said})]
        fares = ["failures", "last_status", "last_success_at", "last_failure_at", "disabled_reason"]
        return [
            (None, {"fields": [*said, "secret_shown"]}),
            (_("Health"), {"fields": fares}),
            (_("Recent deliveries"), {"fields": ["recent_deliveries"]}),
            (_("Record"), {"fields": ["uuid", "created_at", "updated_at"], "classes": ["collapse"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who sees only their own listeners cannot give them away."""
        fixed = super().get_readonly_fields(request, obj)
        return fixed if _sees_all(request) else [*fixed, "owner"]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """With who is at work in it."""
        form = super().get_form(request, obj, change, **kwargs)
        return type(form.__name__, (form,), {"requester": request.user})

    @admin.display(description=gettext_lazy("URL"), ordering="url")
    def address(self, listener: Listener) -> str:
        """The address, short enough to leave room for the other columns."""
        return Truncator(listener.url).chars(40)

    @admin.display(description=gettext_lazy("secret"))
    def secret_shown(self, listener: Listener) -> str:
        """The secret's end, and the way to another one."""
        link = reverse("admin:hookbox_listener_secret", args=[listener.pk])
        shown = secret_once.masked(listener.secret) or _("none: what is sent is not signed")
        return format_html('<code>{}</code> &nbsp; <a href="{}">{}</a>', shown, link, _("Replace"))

    @admin.display(description=gettext_lazy("deliveries"))
    def recent_deliveries(self, listener: Listener) -> str:
        """The last ones, as the server tells."""
        try:
            context: dict[str, Any] = {"deliveries": deliveries.recent(listener)}
        except HookboxError as error:
            context = {"problem": str(error)}
        return render_to_string("admin/hookbox/listener/deliveries.html", context)

    # saving

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save it; one that is switched on begins anew, and a new one belongs to somebody."""
        if change and "active" in form.changed_data:
            switch(obj, obj.active)
        if not change:
            obj.secret = new_secret()
            obj.owner = obj.owner if _sees_all(request) else request.user
        super().save_model(request, obj, form, change)
        if not change and obj.secret:
            secret_once.remember(request, obj)
            where = reverse("admin:hookbox_listener_secret", args=[obj.pk])
            parts = _("It has a signing secret."), where, _("Look at it, once")
            messages.info(request, format_html('{} <a href="{}">{}</a>', *parts))
        if obj.hook not in hooks:
            text = _("No hook is called “%(hook)s”: nothing is sent to this listener.") % {"hook": obj.hook}
            messages.warning(request, text)

    # another secret

    def get_urls(self) -> list[Any]:
        """With the page of a listener's secret."""
        view = self.admin_site.admin_view(self.secret_view)
        return [path("<path:object_id>/secret/", view, name="hookbox_listener_secret"), *super().get_urls()]

    def secret_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show a new secret once, or offer to make another."""
        listener = self.get_object(request, object_id)
        if listener is None:
            raise Http404
        if not self.has_change_permission(request, listener):
            raise PermissionDenied
        if request.method == "POST":
            secret_once.rotate(request, listener)
            self.log_change(request, listener, [{"changed": {"fields": ["secret"]}}])
            return HttpResponseRedirect(request.path)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Signing secret"),
            "subtitle": str(listener),
            "opts": self.opts,
            "listener": listener,
            "new": secret_once.take(request, Listener.objects.filter(pk=listener.pk)),
            "masked": secret_once.masked(listener.secret),
        }
        return TemplateResponse(request, "admin/hookbox/listener/secret.html", context)

    # actions

    @admin.action(description=gettext_lazy("Switch on"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Listener]) -> None:
        """Send events to these again."""
        count = queryset.filter(active=False).update(**SWITCHED_ON, updated_at=timezone.now())
        text = ngettext("%(count)d listener switched on.", "%(count)d listeners switched on.", count)
        self.message_user(request, text % {"count": count}, messages.SUCCESS)

    @admin.action(description=gettext_lazy("Switch off"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Listener]) -> None:
        """Send nothing to these."""
        count = queryset.filter(active=True).update(**SWITCHED_OFF, updated_at=timezone.now())
        text = ngettext("%(count)d listener switched off.", "%(count)d listeners switched off.", count)
        self.message_user(request, text % {"count": count}, messages.SUCCESS)

    @admin.action(description=gettext_lazy("Send a test"), permissions=["change"])
    def send_test(self, request: HttpRequest, queryset: QuerySet[Listener]) -> None:
        """Send each a test."""
        for listener in queryset[:MOST_TESTS]:
            level, text = tested(listener)
            self.message_user(request, text, level)
        if queryset.count() > MOST_TESTS:
            text = _("Only the first %(count)d got one.") % {"count": MOST_TESTS}
            self.message_user(request, text, messages.WARNING)

    @admin.action(description=gettext_lazy("Replay failures since …"), permissions=["change"])
    def replay_failures(self, request: HttpRequest, queryset: QuerySet[Listener]) -> HttpResponse | None:
        """Ask since when, and have the server try again what these have not got."""
        form = ReplayForm(request.POST if "replay" in request.POST else None)
        if not form.is_valid():
            context = {
                **self.admin_site.each_context(request),
                "title": _("Replay failures"),
                "opts": self.opts,
                "form": form,
                "listeners": queryset,
                "checkbox": ACTION_CHECKBOX_NAME,
            }
            return TemplateResponse(request, "admin/hookbox/listener/replay.html", context)
        self._replay(request, queryset, form.cleaned_data["since"])
        return None

    def _replay(self, request: HttpRequest, listeners: QuerySet[Listener], since: datetime) -> None:
        count, problem = 0, None
        for listener in listeners:
            try:
                count += deliveries.replay(listener, since)
            except HookboxError as error:
                problem = error
                break  # the next one would fare the same
        if problem is not None:
            self.message_user(request, str(problem), messages.ERROR)
        if count or problem is None:
            text = ngettext(
                "%(count)d delivery is tried again.", "%(count)d deliveries are tried again.", count
            )
            self.message_user(request, text % {"count": count}, messages.SUCCESS if count else messages.INFO)


def _sees_all(request: HttpRequest) -> bool:
    return request.user.has_perm("hookbox.view_all_listeners")


_ENTRY = ("uuid", "using", "created_at", "attempts", "next_at", "last_error", "job_shown")


@admin.register(OutboxEntry)
class OutboxEntryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic for mypy only
    """What is still to be handed over: to look at, and to try again."""

    list_display = ["uuid", "hook", "created_at", "attempts", "next_at", "last_error"]
    list_filter = ["created_at", "using"]
    search_fields = ["uuid", "last_error"]
    date_hierarchy = "created_at"
    ordering = ["next_at", "pk"]
    actions = ["retry"]
    fields = readonly_fields = _ENTRY

    @admin.display(description=gettext_lazy("hook"))
    def hook(self, entry: OutboxEntry) -> str:
        """Which hook it is of."""
        return str(entry.job.get("hook") or "–") if isinstance(entry.job, dict) else "–"

    @admin.display(description=gettext_lazy("job"))
    def job_shown(self, entry: OutboxEntry) -> str:
        """All of it."""
        return format_html("<pre>{}</pre>", json.dumps(entry.job, indent=2, ensure_ascii=False))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only hooks make them."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only the handing over changes them."""
        return False

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whether somebody may have them tried again at once."""
        return request.user.has_perm("hookbox.change_outboxentry")

    @admin.action(description=gettext_lazy("Try again now"), permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[OutboxEntry]) -> None:
        """Make those due that wait after a failure; the others are due, or are being handed over just now."""
        count = queryset.exclude(last_error="").update(next_at=timezone.now())
        text = ngettext(
            "%(count)d entry is due now, and goes out with the next hand-over.",
            "%(count)d entries are due now, and go out with the next hand-over.",
            count,
        )
        self.message_user(request, text % {"count": count}, messages.SUCCESS)
