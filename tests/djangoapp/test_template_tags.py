"""The template tags: what stands in the page, whatever names and payloads hold."""

import datetime
import json
import re
from html.parser import HTMLParser

import pytest
from django.template import Context, Engine, RequestContext, Template, TemplateSyntaxError
from django.test import RequestFactory

HOSTILE = "</script><script>alert('1')</script><!-- \u2028 \" & ' \\"


@pytest.fixture(autouse=True)
def _settings(settings):
    settings.HOOKBOX_PUBLIC_URL = "https://rt.example/hookbox/"


def render(source, request=None, **context):
    return Template("{% load hookbox %}" + source).render(Context({"request": request, **context}))


class Page(HTMLParser):
    """The elements of a page, and what stands in its scripts."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.scripts = [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.elements and self.elements[-1][0] == "script" and data.strip():
            self.scripts.append(data)


def request_for(**headers):
    return RequestFactory().get("/", **headers)


class Nonce:
    """As of django-csp: false until somebody has looked at it."""

    used = False

    def __bool__(self):
        return self.used

    def __str__(self):
        self.used = True
        return "n0nce"


# hookbox_js


@pytest.mark.parametrize(
    ("arguments", "html"),
    [
        ("", '<script src="https://rt.example/hookbox/static/hookbox.js" defer></script>'),
        ("min=False", '<script src="https://rt.example/hookbox/static/hookbox.js" defer></script>'),
        ("min=True", '<script src="https://rt.example/hookbox/static/hookbox.min.js" defer></script>'),
        (
            "module=True",
            '<script type="module" src="https://rt.example/hookbox/static/hookbox.mjs"></script>',
        ),
        (
            "nonce='abc'",
            '<script src="https://rt.example/hookbox/static/hookbox.js" defer nonce="abc"></script>',
        ),
        ("nonce=''", '<script src="https://rt.example/hookbox/static/hookbox.js" defer></script>'),
    ],
)
def test_the_client_is_one_script(arguments, html):
    assert render("{% hookbox_js " + arguments + " %}") == html


@pytest.mark.parametrize(
    "tag",
    ["hookbox_js", "hookbox_js module=True", "hookbox_connect 'conn'", "hookbox_connect 'conn' module=True"],
)
@pytest.mark.parametrize("nonce", ["n0nce", Nonce()])
def test_the_nonce_is_that_of_the_request(tag, nonce):
    request = request_for()
    request.csp_nonce = nonce
    assert Page(render("{% " + tag + " %}", request)).elements[0][1]["nonce"] == "n0nce"
    given = Page(render("{% " + tag + " nonce='own' %}", request)).elements[0][1]
    assert given["nonce"] == "own"


@pytest.mark.parametrize("tag", ["hookbox_js", "hookbox_connect 'conn'"])
def test_a_nonce_cannot_break_out(tag):
    ((_, attributes), *rest) = Page(render("{% " + tag + " nonce=nonce %}", nonce='"><img>')).elements
    assert attributes["nonce"] == '"><img>'
    assert not rest


# hookbox_url


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({}, "http://testserver:8001"),
        ({"HTTP_HOST": "example.com:8000"}, "http://example.com:8001"),
        ({"HTTP_HOST": "[2001:db8::1]:8000"}, "http://[2001:db8::1]:8001"),
        ({"HTTP_HOST": "example.com", "secure": True}, "https://example.com:8001"),
    ],
)
def test_browsers_find_hookbox_beside_the_page(headers, url, settings):
    del settings.HOOKBOX_PUBLIC_URL
    assert render("{% hookbox_url %}", request_for(**headers)) == url


def test_the_request_is_found_without_a_context_processor(settings):
    """Or the page would silently send browsers to the server's own loopback."""
    del settings.HOOKBOX_PUBLIC_URL
    request = request_for(HTTP_HOST="example.com")
    request.csp_nonce = "n0nce"
    plain = Engine(libraries={"hookbox": "hookbox.contrib.django.templatetags.hookbox"})
    template = plain.from_string("{% load hookbox %}{% hookbox_url %}{% with a=1 %}{% hookbox_js %}{% endwith %}")
    for context in ({}, {"request": "is a word"}):
        html = template.render(RequestContext(request, context))
        assert html.startswith("http://example.com:8001<script src=")
        assert 'nonce="n0nce"' in html


def test_a_template_without_a_request_names_where_the_project_itself_goes(settings):
    settings.HOOKBOX_PUBLIC_URL = None
    settings.HOOKBOX_INTERFACE, settings.HOOKBOX_PORT = "0.0.0.0", 8100
    assert render("{% hookbox_url %}") == "http://127.0.0.1:8100"
    assert render("{% hookbox_url %}", request="is a word") == "http://127.0.0.1:8100"


def test_the_url_is_escaped(settings):
    settings.HOOKBOX_PUBLIC_URL = "https://rt.example/?a=1&b=<x>\"'"
    assert render("{% hookbox_url %}") == "https://rt.example/?a=1&amp;b=&lt;x&gt;&quot;&#x27;"
    page = Page(render("{% hookbox_js %}{% hookbox_connect 'conn' %}{% hookbox_topic_links 'a' %}"))
    assert [tag for tag, _ in page.elements] == ["script", "script", "link", "link"]
    assert page.elements[0][1]["src"] == "https://rt.example/?a=1&b=<x>\"'/static/hookbox.js"


# hookbox_connect


def arguments_of(script):
    found = re.search(
        r'window\["conn"\] = hookbox\.connect\((.*)\);$', script.strip().removesuffix(" });"), re.M
    )
    return json.loads(f"[{found[1]}]")


@pytest.mark.parametrize("module", [False, True])
@pytest.mark.parametrize(
    "payload", [None, HOSTILE, {HOSTILE: [HOSTILE]}, {"at": datetime.date(2026, 5, 4)}, 7, [], "ä"]
)
def test_connecting_passes_the_payload_whatever_it_holds(payload, module):
    html = render(
        "{% hookbox_connect 'conn' payload=payload module=module %}", payload=payload, module=module
    )
    page = Page(html)
    ((tag, attributes),) = page.elements
    (script,) = page.scripts
    assert tag == "script"
    assert attributes == ({"type": "module"} if module else {})
    url, passed = arguments_of(script)
    assert url == "https://rt.example/hookbox"
    assert passed == (json.loads(json.dumps(payload, default=str)))
    assert "</script><" not in script
    assert "<!--" not in script
    assert "\u2028" not in script
    assert script.isascii()


def test_connecting_waits_for_the_client_which_is_deferred():
    assert 'document.addEventListener("DOMContentLoaded", connect)' in render("{% hookbox_connect 'conn' %}")
    assert 'import hookbox from "https://rt.example/hookbox/static/hookbox.mjs";' in render(
        "{% hookbox_connect 'conn' module=True %}"
    )


@pytest.mark.parametrize("name", ["conn", "_", "$", "A1_$", "constructor"])
def test_a_name_that_a_variable_can_have(name):
    assert f'window["{name}"] = ' in render("{% hookbox_connect name %}", name=name)


@pytest.mark.parametrize(
    "name",
    ["", "1a", "a b", "a-b", "a.b", "a\n", "ä", "a\u0661", "a;alert(1)", '"]', HOSTILE, None, 7, ["a"]],
)
def test_a_name_that_no_variable_can_have(name):
    with pytest.raises(TemplateSyntaxError, match="is not the name of a variable"):
        render("{% hookbox_connect name %}", name=name)


def test_a_payload_that_json_cannot_say_is_an_error():
    with pytest.raises(ValueError, match="JSON"):
        render("{% hookbox_connect 'conn' payload=payload %}", payload=float("nan"))


# topics


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("news", "news"),
        ("a/b", "a%2Fb"),
        ("/room/", "%2Froom%2F"),
        ("a-._~b", "a-._~b"),
        ("ä ö", "%C3%A4%20%C3%B6"),
        ("100%?#&", "100%25%3F%23%26"),
        (HOSTILE, None),
        (7, "7"),
    ],
)
def test_a_topic_has_a_url(name, path):
    url = render("{{ name|hookbox_topic }}", name=name)
    assert url.startswith("https://rt.example/hookbox/topic/")
    rest = url.removeprefix("https://rt.example/hookbox/topic/")
    assert re.fullmatch(r"[A-Za-z0-9%._~-]+", rest)
    assert path is None or rest == path


def test_the_links_lead_to_the_hub_and_the_topic():
    page = Page(render("{% hookbox_topic_links name %}", name="a/" + HOSTILE))
    (hub, this) = page.elements
    assert hub == ("link", {"rel": "hub", "href": "https://rt.example/hookbox/hub"})
    assert this[1]["rel"] == "self"
    assert this[1]["href"] == render("{{ name|hookbox_topic }}", name="a/" + HOSTILE)


def test_the_topics_url_does_not_depend_on_the_page(settings):
    settings.HOOKBOX_PUBLIC_URL = None
    links = render("{% hookbox_topic_links 'a' %}", request_for(HTTP_HOST="example.com"))
    assert 'rel="self" href="http://localhost:8001/topic/a"' in links


def test_it_is_the_url_that_the_server_gives_a_topic():
    from hookbox.delivery.hub.topics import Topics

    for name in ("a/b", "ä", "100%?#&", "x:y"):
        url = render("{{ name|hookbox_topic }}", name=name)
        assert url == Topics("https://rt.example/hookbox").url(name)
        assert Topics("https://rt.example/hookbox").read(url).name == name
