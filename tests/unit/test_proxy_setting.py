"""The setting `egress_proxy`: what it may be, what it means, and who gets to see its password."""

import base64

import pytest

from hookbox.delivery.proxy import Proxy, proxy_of
from hookbox.errors import ConfigError
from hookbox.manual import config_text
from hookbox.settings import ABOUT, Settings
from hookbox.sources import Effective, Sources, read_value


def login(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://proxy.example:3128", Proxy("proxy.example", 3128)),
        ("http://PROXY:80/", Proxy("proxy", 80)),
        ("http://10.0.0.1:8080", Proxy("10.0.0.1", 8080)),
        ("http://[fd00::1]:8080", Proxy("fd00::1", 8080)),
        ("http://me:pw@proxy:1", Proxy("proxy", 1, login("me:pw"))),
        ("http://me:a:b@proxy:1", Proxy("proxy", 1, login("me:a:b"))),
        ("http://m%40e:p%2Fw%C3%BC@proxy:1", Proxy("proxy", 1, login("m@e:p/wü"))),
        ("http://me@proxy:1", Proxy("proxy", 1, login("me:"))),
        ("http://@proxy:1", Proxy("proxy", 1)),
    ],
)
def test_a_proxy_is_read_off_its_url(url, proxy):
    assert Proxy.read(url) == proxy
    assert read_value("egress_proxy", url, "here") == url
    assert proxy_of(url) == proxy


def test_no_url_is_no_proxy():
    assert proxy_of(Settings().egress_proxy) is None
    assert read_value("egress_proxy", "", "here") == ""


def test_it_may_change_while_the_server_runs():
    assert ABOUT["egress_proxy"].live


@pytest.mark.parametrize(
    "url",
    [
        "me:canary@proxy:1",
        "https://me:canary@proxy:1",
        "socks5://me:canary@proxy:1",
        "http://me:canary@proxy",
        "http://me:canary@proxy:0",
        "http://me:canary@proxy:65536",
        "http://me:canary@proxy:x",
        "http://me:canary@proxy:1/path",
        "http://me:canary@proxy:1?query",
        "http://me:canary@proxy:1#part",
        "http://me:can/ary@proxy:1",
        "http://me:ca?na#ry@proxy:1",
        "http://me:can@ary@proxy:1",
        "http://me:can ary@proxy:1",
        "http://me:canary@pro..xy:1",
        "http://me:canary@:1",
        "http://me:canary@[fe80::1%eth0]:1",
    ],
)
def test_what_cannot_be_used_is_refused_without_showing_the_password_A13(url):
    with pytest.raises(ConfigError, match=r"egress_proxy is http://\[user:password@\]host:port") as caught:
        read_value("egress_proxy", url, "--egress-proxy")
    for part in ("canary", "can", "ary", "ca?", "na#"):
        assert part not in str(caught.value)


def test_the_password_is_shown_nowhere_A13():
    settings = Settings(egress_proxy="http://me:can%3Aary@proxy:3128", errback_url="http://me:canary@a/")
    assert "ary" not in repr(settings)
    assert settings.secrets == ("canary", "can%3Aary", "can:ary")
    shown = config_text(Effective(settings, dict.fromkeys(ABOUT, "default")))
    assert 'egress_proxy = "http://***@proxy:3128"' in shown
    assert "ary" not in shown
    assert "Basic" not in repr(Proxy.read(settings.egress_proxy))


def test_a_password_in_a_file_that_everybody_can_read_is_pointed_out(tmp_path):
    path = tmp_path / "hookbox.toml"
    path.write_text('egress_proxy = "http://me:canary@proxy:1"')
    path.chmod(0o644)
    [warning] = Sources({"config": str(path)}).read().warnings
    assert "chmod 600" in warning
    assert "canary" not in warning
    path.write_text('egress_proxy = "http://proxy:1"')
    assert Sources({"config": str(path)}).read().warnings == ()
