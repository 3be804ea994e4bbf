"""Settings that are derived from others, and what `manage.py check` says of them."""

import os
import subprocess
import sys
from ast import literal_eval

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.core.checks import run_checks
from django.core.management import call_command
from django.test import Client, RequestFactory, override_settings
from django.urls import include, path
from django.utils import translation

from hookbox.contrib.django import conf


def ids(tags=None):
    return {message.id for message in run_checks(tags=tags) if message.id.startswith("hookbox.")}


# derived


def urls_at(where):
    """A URLconf, as an object with `urlpatterns`."""
    patterns = [path(where, include("hookbox.contrib.django.urls"))] if where is not None else []
    return type("URLs", (), {"urlpatterns": patterns})


@pytest.mark.parametrize(
    ("where", "derived"),
    [("hookbox/", "/hookbox"), ("a/b/", "/a/b"), ("", "/"), (None, "/hookbox"), ("rück/", "/r%C3%BCck")],
)
def test_the_path_of_callbacks_is_where_the_project_has_put_them(where, derived):
    with override_settings(ROOT_URLCONF=urls_at(where)):
        assert conf.cbpath() == derived


@pytest.mark.parametrize("language", ["en-us", "en", "de", "de-at"])
@pytest.mark.parametrize("prefix_default_language", [True, False])
def test_below_languages_the_path_is_one_that_django_serves(language, prefix_default_language, settings):
    """In a command, where no language was asked for, Django makes a path of en-us that it answers with 404."""
    settings.LANGUAGE_CODE = language
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.locale.LocaleMiddleware",
    ]
    views = path("hookbox/", include("hookbox.contrib.django.urls"))
    settings.ROOT_URLCONF = tuple(i18n_patterns(views, prefix_default_language=prefix_default_language))
    with translation.override(language):
        where = conf.cbpath()
        assert translation.get_language() == language
        with translation.override("fr"):  # as in a request
            assert conf.path_of("hookbox_errback") == f"{where}/errback"
        assert Client().post(f"{where}/connect").status_code == 200


def test_the_path_of_callbacks_can_be_set(settings):
    settings.HOOKBOX_CBPATH = "/elsewhere"
    assert conf.cbpath() == "/elsewhere"
    settings.HOOKBOX_CBPATH = None
    assert conf.cbpath() == "/hookbox"


@pytest.mark.parametrize(
    ("interface", "port", "url"),
    [
        (None, None, "http://localhost:8001"),
        ("0.0.0.0", 8100, "http://127.0.0.1:8100"),
        ("::", "8100", "http://127.0.0.1:8100"),
        ("", "8100", "http://127.0.0.1:8100"),
        ("::1", 8100, "http://[::1]:8100"),
        ("rt.internal", 8100, "http://rt.internal:8100"),
    ],
)
def test_the_server_is_where_it_listens(interface, port, url, settings):
    if port is not None:
        settings.HOOKBOX_INTERFACE, settings.HOOKBOX_PORT = interface, port
    assert conf.url() == url
    assert conf.public_url() == url
    settings.HOOKBOX_URL = "https://rt.example/x/"
    assert conf.url() == "https://rt.example/x"


@pytest.mark.parametrize("prefix", ["/realtime", "realtime/", "/realtime/"])
def test_the_server_is_found_below_its_prefix(prefix, settings):
    settings.HOOKBOX_PATH_PREFIX = prefix
    assert conf.url() == "http://localhost:8001/realtime"
    assert conf.public_url(RequestFactory().get("/")) == "http://testserver:8001/realtime"
    settings.HOOKBOX_URL = settings.HOOKBOX_PUBLIC_URL = "https://rt.example"
    assert conf.url() == conf.public_url() == "https://rt.example"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("example.com:8000", "http://example.com:8001"),
        ("EXAMPLE.com.", "http://example.com:8001"),
        ("[::1]", "http://[::1]:8001"),
        ("[::1.2.3.4.5]", "http://[::1.2.3.4.5]:8001"),
    ],
)
def test_pages_are_made_whatever_host_django_takes(host, url):
    assert conf.public_url(RequestFactory().get("/", HTTP_HOST=host)) == url


def test_the_callback_url_is_https_where_the_server_is_told_so(settings):
    assert conf.callback_url("/x") == "http://localhost:8000/x"
    settings.HOOKBOX_CBHTTPS = True
    assert conf.callback_url("/x") == "https://localhost:8000/x"


# checks


@pytest.fixture
def good(settings):
    settings.HOOKBOX_WEBHOOK_SECRET = "kept secret"
    settings.ALLOWED_HOSTS = ["localhost"]
    assert ids() & {"hookbox.E001", "hookbox.W001", "hookbox.W002", "hookbox.W003", "hookbox.W006"} == set()
    return settings


@pytest.mark.parametrize(
    ("newer", "older", "wrong"),
    [
        ("a", None, False),
        (None, "a", False),
        ("a", "a", False),
        (7, 7, False),
        (7, "7", False),
        (None, 7, False),
        (7, 8, True),
        ("", "a", False),
        (["a", "b"], None, False),
        ([], "a", False),
        ("a", "b", True),
        (["a", "b"], "b", True),
    ],
)
def test_two_names_of_the_token_have_to_agree(newer, older, wrong, good):
    good.HOOKBOX_API_SECURITY_TOKEN, good.HOOKBOX_REST_SECRET = newer, older
    assert ("hookbox.E001" in ids()) is wrong
    if not wrong:
        assert conf.api_token() in ("a", "7")


@pytest.mark.parametrize(
    ("secret", "debug", "warned"), [(None, False, True), ("", False, True), (None, True, False)]
)
def test_a_project_needs_a_secret(secret, debug, warned, good):
    good.HOOKBOX_WEBHOOK_SECRET, good.DEBUG = secret, debug
    assert ("hookbox.W001" in ids()) is warned


@pytest.mark.parametrize(
    ("cbhost", "allowed", "debug", "warned"),
    [
        ("localhost", ["example.com"], False, True),
        ("localhost", ["example.com", "localhost"], False, False),
        ("LOCALHOST", ["localhost"], False, False),
        ("localhost", [], False, True),
        ("localhost", [], True, False),
        ("app.internal", [], True, True),
        ("app.internal", [".internal"], False, False),
        ("::1", ["[::1]"], False, False),
        ("10.0.0.7", ["*"], False, False),
        ("my_app", ["*"], False, True),
        ("0.0.0.0", ["127.0.0.1"], False, False),
    ],
)
def test_the_host_that_hookbox_asks_has_to_be_allowed(cbhost, allowed, debug, warned, good):
    good.HOOKBOX_CBHOST, good.ALLOWED_HOSTS, good.DEBUG = cbhost, allowed, debug
    assert ("hookbox.W002" in ids()) is warned


@pytest.mark.parametrize(
    ("redirect", "exempt", "https", "warned"),
    [
        (False, [], False, False),
        (True, [], False, True),
        (True, [], True, False),
        (True, [r"^hookbox/"], False, False),
        (True, [r"^health$"], False, True),
    ],
)
def test_a_redirect_to_https_would_deny_everything(redirect, exempt, https, warned, good):
    good.SECURE_SSL_REDIRECT, good.SECURE_REDIRECT_EXEMPT, good.HOOKBOX_CBHTTPS = redirect, exempt, https
    assert ("hookbox.W003" in ids()) is warned


@pytest.mark.parametrize("where", ["hookbox/", "a.b/c/", ""])
def test_the_hint_for_the_redirect_helps(where, good):
    good.SECURE_SSL_REDIRECT = True
    good.ROOT_URLCONF = urls_at(where)
    (message,) = [m for m in run_checks() if m.id == "hookbox.W003"]
    pattern = literal_eval(message.hint.removeprefix("Add ").partition(" to ")[0])
    assert where != "hookbox/" or pattern == "^hookbox/"
    good.SECURE_REDIRECT_EXEMPT = [pattern]
    assert "hookbox.W003" not in ids()
    for name in ("connect", "create_channel", "errback"):
        assert Client(SERVER_NAME="localhost").post(conf.path_of(f"hookbox_{name}")).status_code in (200, 403)


@pytest.mark.parametrize(
    ("middleware", "warned"),
    [
        ("django.contrib.auth.middleware.AuthenticationMiddleware", False),
        (f"{__name__}.OwnAuthentication", False),
        ("django.contrib.sessions.middleware.SessionMiddleware", True),
        ("there.is.no.such.Middleware", True),
    ],
)
def test_callbacks_want_to_know_the_user(middleware, warned, good):
    good.MIDDLEWARE = [middleware]
    assert ("hookbox.W006" in ids({"hookbox"})) is warned


from django.contrib.auth.middleware import AuthenticationMiddleware  # noqa: E402


class OwnAuthentication(AuthenticationMiddleware):
    pass


def test_checks_are_run_by_manage_py(good, capsys):
    good.HOOKBOX_WEBHOOK_SECRET = None
    call_command("check")
    assert "hookbox.W001" in capsys.readouterr().err


# at import


SCRIPT = """
import socket, sys
def refuse(*args, **kwargs): raise AssertionError("it opened a connection")
socket.socket.connect = socket.create_connection = refuse
import sqlite3
sqlite3.connect = sqlite3.dbapi2.connect = refuse
import threading
threads = threading.active_count()
import django
django.setup()
from importlib import import_module
from pathlib import Path
import hookbox.contrib.django as package
for file in sorted(Path(package.__file__).parent.rglob("*.py")):
    name = ".".join(file.relative_to(Path(package.__file__).parent).with_suffix("").parts)
    if name != "__init__" and "celery" not in name and not name.startswith("migrations") and name != "tasks":
        import_module(f"hookbox.contrib.django.{name.removesuffix('.__init__')}")
for name in package.__all__:
    getattr(package, name)
assert threading.active_count() == threads, "it started a thread"
loaded = {"gevent", "bottle", "requests", "websockets"} & sys.modules.keys()
assert not loaded, loaded
assert not {name for name in sys.modules if name.startswith("hookbox.") and name.split(".")[1] in ("server", "web", "commands", "transports")}
"""


def test_importing_all_of_it_asks_no_network_and_no_database_and_starts_nothing():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
