"""Settings: where they come from, which source wins, and what is said about mistakes."""

import re
from dataclasses import FrozenInstanceError, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.errors import ConfigError
from hookbox.manual import manual_table
from hookbox.settings import ABOUT, Group, Settings
from hookbox.sources import DEFAULT, KINDS, Sources, read_value, variable_of

DEFAULTS_OF_THE_RELIABILITY_LIST = {
    "request_line": 8192,
    "header_line": 8192,
    "headers_total": 32768,
    "header_count": 64,
    "header_deadline": 10,
    "body_deadline": 20,
    "keepalive_idle": 30,
    "client_body": 262144,
    "api_body": 1048576,
    "client_payload": 65536,
    "max_message": 65536,
    "max_fragments": 128,
    "message_deadline": 20,
    "json_depth": 32,
    "connect_deadline": 60,
    "ping_interval": 25,
    "pong_timeout": 10,
    "outbox_bytes": 1048576,
    "outbox_messages": 1000,
    "outbox_total": 268435456,
    "write_stall": 10,
    "connections_per_ip": 0,
    "connections_per_user": 100,
    "accept_rate": 0,
    "subscriptions": 128,
    "channels": 100000,
    "client_rate": 100,
    "client_burst": 200,
    "ping_rate": 10,
    "ping_burst": 20,
    "api_rate": 0,
    "protocol_errors": 20,
    "history_messages": 10000,
    "history_bytes": 4194304,
    "history_total_bytes": 268435456,
    "recovery_messages": 300,
    "recovery_bytes": 524288,
    "webhook_connect_timeout": 2,
    "webhook_timeout": 5,
    "webhook_concurrency": 32,
    "webhook_queue": 1000,
    "webhook_queue_wait": 2,
    "webhook_answer": 262144,
    "breaker_failures": 10,
    "breaker_ratio": 0.5,
    "breaker_calls": 20,
    "breaker_window": 10,
    "breaker_first_pause": 1,
    "breaker_longest_pause": 30,
    "leave_grace": 5,
    "idempotency_keep": 300,
}


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "hookbox.toml"
        path.write_text(text)
        path.chmod(0o600)
        return str(path)

    return write


def read(flags=None, environ=None):
    return Sources(flags or {}, environ or {}).read()


def mistake(flags=None, environ=None):
    with pytest.raises(ConfigError) as caught:
        read(flags, environ)
    return str(caught.value)


def test_defaults_are_those_of_the_reliability_list():
    assert {n: getattr(Settings(), n) for n in DEFAULTS_OF_THE_RELIABILITY_LIST} == DEFAULTS_OF_THE_RELIABILITY_LIST


def test_nothing_listens_beyond_this_machine_unless_told_Z7():
    assert Settings().interface == "127.0.0.1"
    assert Settings().api_address is None


def test_settings_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1
    assert not hasattr(Settings(), "__dict__")


def test_every_default_lies_in_its_own_range():
    for name in ABOUT:
        value = getattr(Settings(), name)
        if value not in (None, ()):
            given = list(value) if isinstance(value, tuple) else value
            assert read_value(name, given if KINDS[name] != "str" else str(given), "here") == value


def test_secrets_are_not_shown_by_repr_A13():
    settings = Settings(webhook_secret="canary1", api_security_token=("canary2",), admin_password="canary3")
    assert "canary" not in repr(settings)
    assert settings.secrets == ("canary1", "canary3", "canary2")


def test_a_password_inside_the_callback_url_counts_as_a_secret_A13():
    assert Settings(cb_single_url="http://me:canary@app/x").secrets == ("canary",)


def test_flag_beats_environment_beats_file_beats_default(file):
    path = file("port = 1\ncbport = 1\nclient_rate = 1\n")
    effective = read(
        {"config": path, "port": "3"}, {"HOOKBOX_PORT": "2", "HOOKBOX_CBPORT": "2", "UNRELATED": "x"}
    )
    settings = effective.settings
    assert (settings.port, settings.cbport, settings.client_rate, settings.ping_rate) == (3, 2, 1.0, 10.0)
    assert effective.origins["port"] == "--port"
    assert effective.origins["cbport"] == "HOOKBOX_CBPORT"
    assert effective.origins["client_rate"] == f"{path}:3"
    assert effective.origins["ping_rate"] == DEFAULT


def test_every_setting_can_come_from_each_source(file):
    for name in ABOUT:
        if name == "config" or KINDS[name] == "bool":
            continue
        value = _another_value(name)
        assert getattr(read(environ={variable_of(name): value}).settings, name) == read_value(name, value, "")
    assert read(environ={"HOOKBOX_CBHTTPS": "yes"}).settings.cbhttps is True
    assert read({"config": file("cbhttps = true")}).settings.cbhttps is True
    assert read({"config": file("cbhttps = true"), "cbhttps": False}).settings.cbhttps is False


def _another_value(name):
    special = {
        "interface": "0.0.0.0",
        "web_api_interface": "::1",
        "cb_single_url": "https://app/x",
        "path_prefix": "/rt",
        "origin": "https://a.example",
        "trusted_proxy": "10.0.0.0/8",
        "log_file_errors": "/tmp/e",
        "log_file_access": "/tmp/a",
        "breaker_ratio": "0.25",
        "certfile": "",
        "keyfile": "",
        "public_url": "https://a.example/rt",
        "errback_url": "https://a.example/told",
        "errback_secret": "0123456789abcdef",
        "default_signing_secret": "0123456789abcdef",
        "retry_schedule": "5,10",
        "egress_ports": "8443",
        "egress_proxy": "http://me:pw@a.example:3128",
        "max_store": "2MiB",
    }
    if name in special:
        return special[name]
    if ABOUT[name].choices:
        return ABOUT[name].choices[-1]
    return "7" if KINDS[name].startswith(("int", "float")) else "some"


def test_a_file_of_the_environment_can_be_named(file):
    assert read(environ={"HOOKBOX_CONFIG": file("port = 5")}).settings.port == 5


@pytest.mark.parametrize(
    ("text", "value"),
    [("65536", 65536), ("64KiB", 65536), ("64 KiB", 65536), ("1.5KiB", 1536), ("1MiB", 2**20), ("10B", 10)],
)
def test_sizes_may_have_units(text, value):
    assert read_value("max_message", text, "") == value


@pytest.mark.parametrize(("text", "value"), [("5", 5.0), ("500ms", 0.5), ("2 m", 120.0), ("1h", 3600.0), ("0.25", 0.25)])
def test_times_may_have_units(text, value):
    assert read_value("ping_interval", text, "") == value


@pytest.mark.parametrize("text", ["5 apples", "5kb", "1_0", "+5", "", "nan", "inf", "1e9", "٥", "5s5", "--5"])
def test_other_numbers_are_refused(text):
    with pytest.raises(ConfigError):
        read_value("max_message", text, "")


@given(st.sampled_from(sorted(ABOUT)), st.text() | st.booleans() | st.floats() | st.integers() | st.none() | st.lists(st.text()))
def test_any_value_is_read_or_a_config_error(name, value):
    said = f"here: {name}"
    try:
        read_value(name, value, "here")
    except ConfigError as error:
        said = str(error)
    assert said.startswith("here: ")
    assert name in said


def test_two_tokens_may_be_given_for_rotation_A6(file):
    assert read({"api_security_token": ["old", "new"]}).settings.api_security_token == ("old", "new")
    assert read(environ={"HOOKBOX_API_SECURITY_TOKEN": "old, new"}).settings.api_security_token == ("old", "new")
    assert read({"config": file('api_security_token = ["old", "new"]')}).settings.api_security_token == ("old", "new")
    assert read({"config": file('api_security_token = "one"')}).settings.api_security_token == ("one",)


def test_an_empty_token_is_no_token_A6():
    assert read({"api_security_token": [""]}).settings.api_security_token == ()


def test_a_third_token_is_refused_and_none_is_shown_A13():
    text = mistake({"api_security_token": ["canary-1", "canary-2", "canary-3"]})
    assert "api_security_token is given 2 times at most" in text
    assert "canary" not in text


def test_a_secret_may_come_from_a_file(tmp_path):
    (tmp_path / "secret").write_text("from-file\n")
    environ = {"HOOKBOX_WEBHOOK_SECRET_FILE": str(tmp_path / "secret")}
    assert read(environ=environ).settings.webhook_secret == "from-file"
    assert read(environ=environ | {"HOOKBOX_WEBHOOK_SECRET": "direct"}).settings.webhook_secret == "direct"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("\nprot = 3", 2, ["prot is not a setting", "did you mean port"]),
        ("\n\n[hookbox]\nport = 3", 3, ["hookbox is not a setting"]),
        ("port = 'x'", 1, ["port", "'x'", "a whole number from 0 to 65535"]),
        ("port = 70000", 1, ["70000", "from 0 to 65535"]),
        ("port = true", 1, ["True", "a whole number"]),
        ("cbhttps = 1", 1, ["1", "true or false"]),
        ("log_format = 'xml'", 1, ["'xml'", "one of plain, json"]),
        ("ping_interval = -1", 1, ["-1", "a time from 0.001"]),
        ("origin = ['*']", 1, ["'*'", "scheme://host", "there is no *"]),
        ("cbhost = 'http://app'", 1, ["'http://app'", "cbhttps", "cb_single_url"]),
        ("interface = '0.0.0.0:80'", 1, ["port"]),
        ("trusted_proxy = 'proxy'", 1, ["10.0.0.0/8"]),
        ("config = 'x'", 1, ["cannot name another file"]),
        ("path_prefix = 'realtime'", 1, ["/realtime"]),
        ("log_file_errors = '/nowhere/x'", 1, ["/nowhere does not"]),
        ("cbpath = \"a\\u0000\"", 1, ["cbpath"]),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(file, text, line, words):
    path = file(text)
    said = mistake({"config": path})
    assert said.startswith(f"{path}:{line}")
    for word in words:
        assert word in said


@pytest.mark.parametrize("text", ["port = ", "port = 1\nport = 2", "\udcff"])
def test_a_file_that_is_not_toml_is_named(tmp_path, text):
    path = tmp_path / "hookbox.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert f"{path} is not TOML" in mistake({"config": str(path)})


def test_a_file_that_is_missing_is_named():
    assert mistake({"config": "/nowhere/x.toml"}) == "config: /nowhere/x.toml cannot be read: No such file or directory"


def test_a_misspelt_variable_is_an_error_with_the_nearest_name():
    assert "did you mean HOOKBOX_WEBHOOK_SECRET" in mistake(environ={"HOOKBOX_WEBHOOK_SECERT": "x"})


def test_a_variable_that_resembles_no_setting_is_reported_and_ignored():
    effective = read(environ={"HOOKBOX_URL": "http://x"})
    assert effective.settings == Settings()
    assert "HOOKBOX_URL" in effective.warnings[0]


def test_what_kubernetes_says_about_a_service_called_hookbox_is_ignored():
    environ = {
        "HOOKBOX_PORT": "tcp://10.0.0.1:8001",
        "HOOKBOX_SERVICE_HOST": "10.0.0.1",
        "HOOKBOX_SERVICE_PORT": "8001",
        "HOOKBOX_PORT_8001_TCP_ADDR": "10.0.0.1",
    }
    assert read(environ=environ).settings == Settings()
    assert read(environ=environ).warnings == ()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"certfile": "/x"}, "keyfile is missing"),
        ({"keyfile": "/x"}, "certfile is missing"),
        ({"certfile": "/nowhere", "keyfile": "/nowhere"}, "there is no file /nowhere"),
        ({"certfile": __file__, "keyfile": __file__}, "cannot be used together"),
        ({"web_api_port": "8001"}, "both listeners are at 127.0.0.1 port 8001"),
        ({"web_api_interface": "127.0.0.1"}, "both listeners"),
        ({"interface": "unix:/tmp/x", "web_api_port": "9"}, "needs web_api_interface"),
    ],
)
def test_contradictions_are_refused(flags, words):
    assert words in mistake(flags)


def test_the_second_listener_takes_what_is_not_said_from_the_first():
    assert read({"web_api_port": "9"}).settings.api_address == ("127.0.0.1", 9)
    assert read({"web_api_interface": "::1"}).settings.api_address == ("::1", 8001)
    assert read({"interface": "unix:/tmp/x"}).settings.address == ("unix:/tmp/x", 0)


def test_values_are_tidied():
    settings = read(
        {"origin": ["HTTPS://Example.COM/"], "path_prefix": "/rt/", "trusted_proxy": ["10.0.0.1/8", "unix"], "log_level": "warn"}
    ).settings
    assert settings.origin == ("https://example.com",)
    assert settings.path_prefix == "/rt"
    assert settings.trusted_proxy == ("10.0.0.0/8", "unix")
    assert settings.log_level == "WARNING"


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ({"webhook_secret": "same", "api_security_token": ["same"]}, "webhook_secret"),
        ({"admin_password": "same", "api_security_token": ["same"]}, "admin_password"),
        ({"outbox_bytes": "1GiB"}, "outbox_bytes is larger than outbox_total"),
        ({"metrics_open": True, "interface": "0.0.0.0"}, "metrics_open"),
    ],
)
def test_what_is_probably_not_meant_is_doubted(flags, word):
    assert word in read(flags).warnings[0]


def test_a_file_with_secrets_that_all_can_read_is_doubted(tmp_path):
    path = tmp_path / "hookbox.toml"
    path.write_text('admin_password = "canary"')
    path.chmod(0o644)
    (warning,) = read({"config": str(path)}).warnings
    assert "chmod 600" in warning
    assert "canary" not in warning


def test_a_reload_takes_over_what_may_change_and_names_the_rest(file):
    path = file("port = 1\nclient_rate = 5")
    sources = Sources({"config": path}, {})
    before = sources.read().settings
    file("port = 2\nclient_rate = 7\nwebhook_secret = 'new'\norigin = ['https://a.example']")
    after, changed, ignored = sources.reload(before)
    assert after == replace(before, client_rate=7.0, webhook_secret="new", origin=("https://a.example",))
    assert set(changed) == {"client_rate", "webhook_secret", "origin"}
    assert ignored == ("port",)


def test_a_reload_keeps_what_flags_and_environment_said(file):
    path = file("client_rate = 5")
    sources = Sources({"config": path, "client_rate": "9"}, {"HOOKBOX_CBPORT": "3"})
    before = sources.read().settings
    file("client_rate = 6\ncbport = 4")
    assert sources.reload(before) == (before, (), ())


def test_a_reload_of_a_bad_file_changes_nothing(file):
    sources = Sources({"config": file("client_rate = 5")}, {})
    before = sources.read().settings
    file("client_rate = 'x'")
    with pytest.raises(ConfigError, match="client_rate"):
        sources.reload(before)


LIVE = ("webhook_secret", "api_security_token", "admin_password", "cbhost", "cb_connect", "origin", "log_level", "max_message")


@pytest.mark.parametrize("name", LIVE)
def test_secrets_callbacks_limits_origins_and_log_level_can_change_at_run_time(name):
    assert ABOUT[name].live


@pytest.mark.parametrize("name", ["port", "interface", "web_api_port", "certfile", "path_prefix"])
def test_what_was_bound_at_the_start_cannot_change_at_run_time(name):
    assert not ABOUT[name].live


def test_every_setting_says_what_it_is():
    for f in fields(Settings):
        assert re.match(r"[a-z`A-Z]", ABOUT[f.name].help)
        assert not ABOUT[f.name].help.endswith(".")


@pytest.mark.parametrize("group", Group, ids=lambda group: group.name)
def test_the_manual_has_a_row_for_every_setting(group, request):
    page = (request.config.rootpath / "docs/configuration.md").read_text()
    assert f"## {group.value}" in page
    assert manual_table(group) in page, "write it anew: make manual"
