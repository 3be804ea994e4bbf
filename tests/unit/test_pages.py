"""The front page, health, and the browser client's files."""

import gzip

import pytest
from api_site import Rig

from hookbox.web.pages import make_pages

SECRETS = ("an-api-token", "a-webhook-secret", "an-admin-password")


@pytest.fixture
def rig():
    return Rig(api_security_token=SECRETS[:1], webhook_secret=SECRETS[1], admin_password=SECRETS[2])


@pytest.fixture
def folder(tmp_path):
    for name in ("hookbox.js", "hookbox.min.js", "hookbox.mjs", "hookbox.d.ts"):
        (tmp_path / name).write_text(f"// {name} é")
    (tmp_path / "build.sh").write_text("not served")
    return tmp_path


@pytest.fixture
def get(rig, folder):
    pages = make_pages(rig.site, folder=folder)
    return lambda path, method="GET", **environ: rig.request(method, path, token=None, app=pages, **environ)


def test_the_front_page_tells_the_version_and_the_parts_and_no_secret(get, rig):
    answer = get("/")
    text = answer.body.decode()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "Hookbox" in text
    assert "HTTP API</a>: on" in text
    assert not any(secret in text for secret in SECRETS)
    rig.site.settings = Rig(api_security_token=()).site.settings
    assert "HTTP API</a>: off" in get("/").body.decode()
    rig.site.settings = Rig(web_api_port=1).site.settings
    assert "HTTP API: on" in get("/").body.decode(), "no link to what is on the other port"


def test_health_and_readiness(get, rig):
    assert (get("/healthz").status, get("/readyz").status) == (200, 200)
    rig.site.draining = True
    assert (get("/healthz").status, get("/readyz").status) == (200, 503)
    assert get("/readyz").body == b"draining\n"


def test_readiness_tells_of_a_fault(rig, folder):
    pages = make_pages(rig.site, folder=folder, fault=lambda: "degraded")
    answer = rig.request("GET", "/readyz", app=pages)
    assert (answer.status, answer.body) == (503, b"degraded\n")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("hookbox.js", "text/javascript; charset=utf-8"),
        ("hookbox.min.js", "text/javascript; charset=utf-8"),
        ("hookbox.mjs", "text/javascript; charset=utf-8"),
        ("hookbox.d.ts", "text/plain; charset=utf-8"),
    ],
)
def test_the_client_can_be_loaded_from_any_page(get, name, kind):
    answer = get(f"/static/{name}", HTTP_ORIGIN="https://elsewhere.example")
    assert answer.body.decode() == f"// {name} é"
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert answer.headers["Access-Control-Allow-Origin"] == "*", "modules are loaded with CORS"
    assert "Access-Control-Allow-Credentials" not in answer.headers, "A2"


@pytest.mark.parametrize(
    ("condition", "status"),
    [("{0}", 304), ("W/{0}", 304), ('"x", {0}', 304), ("*", 304), ('"x"', 200), ("", 200), ("{0}x", 200)],
)
def test_a_file_the_browser_has_already_is_not_sent_again(get, condition, status):
    etag = get("/static/hookbox.js").headers["ETag"]
    answer = get("/static/hookbox.js", HTTP_IF_NONE_MATCH=condition.format(etag))
    assert answer.status == status
    assert answer.headers["ETag"] == etag
    assert (answer.body == b"") is (status == 304)


def test_each_file_has_an_etag_of_its_own(get):
    assert get("/static/hookbox.js").headers["ETag"] != get("/static/hookbox.mjs").headers["ETag"]


def test_the_compressed_client_is_the_client(get):
    answer = get("/static/hookbox.min.js.gz")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.body) == get("/static/hookbox.min.js").body


@pytest.mark.parametrize(
    "path",
    ["/static/", "/static/build.sh", "/static/../setup.py", "/static/hookbox.js/", "/x", "/\x1b[31m", "/é"],
)
def test_H10_anything_else_is_404_and_is_not_repeated_back(get, path):
    answer = get(path)
    assert (answer.status, answer.body) == (404, b"not found\n")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/static/hookbox.js"])
def test_H9_pages_take_get_and_head(get, path):
    head = get(path, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == get(path).headers["Content-Length"]
    answer = get(path, "POST")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")


def test_the_real_client_is_served(rig):
    pages = make_pages(rig.site)
    assert rig.request("GET", "/static/hookbox.js", app=pages).status == 200
    assert rig.request("GET", "/static/hookbox.min.js", app=pages).status == 200
