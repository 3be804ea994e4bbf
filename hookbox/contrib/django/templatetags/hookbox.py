"""Tags that connect a page: `{% load hookbox %}`."""

from __future__ import annotations

import json
import re
from typing import Any

from django import template
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest
from django.template.context import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from hookbox.contrib.django import conf

register = template.Library()

_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_ENDS_SCRIPTS = {ord(character): f"\\u{ord(character):04X}" for character in "<>&\u2028\u2029"}


@register.simple_tag(takes_context=True)
def hookbox_js(
    context: Context, nonce: str | None = None, *, min: bool = False, module: bool = False
) -> SafeString:
    """The browser client, as a script element.

    Args:
        nonce: for the page's content security policy; without it `request.csp_nonce` is used.
        min: the small file.
        module: the ES module.
    """
    base = _base(context)
    if module:
        return format_html(
            '<script type="module" src="{}/static/hookbox.mjs"{}></script>', base, _nonce(context, nonce)
        )
    name = "hookbox.min.js" if min else "hookbox.js"
    return format_html('<script src="{}/static/{}" defer{}></script>', base, name, _nonce(context, nonce))


@register.simple_tag(takes_context=True)
def hookbox_url(context: Context) -> str:
    """Where browsers find Hookbox."""
    return _base(context)


@register.simple_tag(takes_context=True)
def hookbox_connect(
    context: Context, name: str, payload: Any = None, nonce: str | None = None, *, module: bool = False
) -> SafeString:
    """A script that connects, and puts the connection into a global variable.

    It does so when the page has been read, as the client's script is deferred; scripts of yours that use the
    variable have to be deferred, or modules, or to wait for `DOMContentLoaded` too.

    Args:
        name: of the variable.
        payload: what the `connect` callbacks get.
        nonce: as for `hookbox_js`.
        module: whether the client is loaded as a module.

    Raises:
        TemplateSyntaxError: no variable can have that name.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise template.TemplateSyntaxError(f"hookbox_connect: {name!r} is not the name of a variable")
    base = _base(context)
    variable, call = f"window[{_literal(name)}]", f"hookbox.connect({_literal(base)}, {_literal(payload)})"
    if module:
        kind, script = (
            ' type="module"',
            f"import hookbox from {_literal(base + '/static/hookbox.mjs')};\n{variable} = {call};",
        )
    else:
        kind, script = "", _WHEN_READ % (variable, call)
    return format_html(
        "<script{}{}>\n{}\n</script>", mark_safe(kind), _nonce(context, nonce), mark_safe(script)
    )


@register.filter
def hookbox_topic(name: object) -> str:
    """The URL of a topic, where its newest message is and where subscribing to it by WebSub begins."""
    return conf.topic_url(str(name))


@register.simple_tag
def hookbox_topic_links(name: object) -> SafeString:
    """The two links by which WebSub subscribers of a page find the hub and the topic."""
    return format_html(
        '<link rel="hub" href="{}/hub">\n<link rel="self" href="{}">',
        conf.public_url(),
        conf.topic_url(str(name)),
    )


_WHEN_READ = """(function (connect) {
  if (window.hookbox && window.hookbox.connect) connect();
  else document.addEventListener("DOMContentLoaded", connect);
})(function () { %s = %s; });"""


def _base(context: Context) -> str:
    return conf.public_url(_request(context))


def _request(context: Context) -> HttpRequest | None:
    """The page's, also where no context processor puts it among the variables."""
    found = context.get("request"), getattr(context, "request", None)
    return next((request for request in found if isinstance(request, HttpRequest)), None)


def _nonce(context: Context, given: str | None) -> SafeString:
    """The attribute, if there is anything to put into it."""
    if given is None:
        given = getattr(_request(context), "csp_nonce", None)
    text = "" if given is None else str(given)  # looked at as text, as a lazy one is false until it is used
    return format_html(' nonce="{}"', text) if text else SafeString("")


def _literal(value: Any) -> str:
    """A value as JavaScript that can stand in a page."""
    return json.dumps(value, cls=DjangoJSONEncoder, allow_nan=False).translate(_ENDS_SCRIPTS)
