"""The command line: flags of Hookbox 0.3 and ours, help, and what is said about mistakes."""

import tomllib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox import __version__, cli
from hookbox.errors import ConfigError
from hookbox.flags import flags_of, parse
from hookbox.settings import ABOUT, Settings
from hookbox.sources import Sources, flag_of

FLAGS_OF_HOOKBOX_0_3 = [
    ("-p 1", "port", 1),
    ("--port=1", "port", 1),
    ("-i ::1", "interface", "::1"),
    ("--interface ::1", "interface", "::1"),
    ("-w 2", "web_api_port", 2),
    ("--web-api-port 2", "web_api_port", 2),
    ("-W ::1", "web_api_interface", "::1"),
    ("--web-api-interface ::1", "web_api_interface", "::1"),
    ("--cbhost app", "cbhost", "app"),
    ("--cbport 3", "cbport", 3),
    ("--cbpath /x", "cbpath", "/x"),
    ("--cbhttps", "cbhttps", True),
    ("--cbtrailingslash", "cbtrailingslash", True),
    ("--cbsendhookboxversion", "cbsendhookboxversion", True),
    ("--cb-connect c", "cb_connect", "c"),
    ("--cb-disconnect c", "cb_disconnect", "c"),
    ("--cb-create_channel c", "cb_create_channel", "c"),
    ("--cb-create-channel c", "cb_create_channel", "c"),
    ("--cb-destroy_channel c", "cb_destroy_channel", "c"),
    ("--cb-destroy-channel c", "cb_destroy_channel", "c"),
    ("--cb-subscribe c", "cb_subscribe", "c"),
    ("--cb-unsubscribe c", "cb_unsubscribe", "c"),
    ("--cb-publish c", "cb_publish", "c"),
    ("--cb-message c", "cb_message", "c"),
    ("--cb-single-url http://a/b", "cb_single_url", "http://a/b"),
    ("-c sessionid", "cookie_identifier", "sessionid"),
    ("--cookie-identifier sessionid", "cookie_identifier", "sessionid"),
    ("-s word", "webhook_secret", "word"),
    ("--webhook-secret word", "webhook_secret", "word"),
    ("-r word", "api_security_token", ("word",)),
    ("--api-security-token word", "api_security_token", ("word",)),
    ("--rest-secret word", "api_security_token", ("word",)),
    ("-r one -r two", "api_security_token", ("one", "two")),
    ("-a word", "admin_password", "word"),
    ("--admin-password word", "admin_password", "word"),
    ("-E errors.log", "log_file_errors", "errors.log"),
    ("--log-file-errors errors.log", "log_file_errors", "errors.log"),
    ("-A access.log", "log_file_access", "access.log"),
    ("--log-file-access access.log", "log_file_access", "access.log"),
    ("-L ERROR", "log_level", "ERROR"),
    ("--log-level ERROR", "log_level", "ERROR"),
    ("-x", "ignore_missing_channel", True),
    ("-d", "debug", True),
    ("--debug", "debug", True),
    ("-dx", "debug", True),
]
DEFAULTS_OF_HOOKBOX_0_3 = {
    "port": 8001,
    "web_api_port": None,
    "web_api_interface": "",
    "cbhost": "127.0.0.1",
    "cbport": 80,
    "cbpath": "/hookbox",
    "cbhttps": False,
    "cbtrailingslash": False,
    "cbsendhookboxversion": False,
    "cb_connect": "connect",
    "cb_disconnect": "disconnect",
    "cb_create_channel": "create_channel",
    "cb_destroy_channel": "destroy_channel",
    "cb_subscribe": "subscribe",
    "cb_unsubscribe": "unsubscribe",
    "cb_publish": "publish",
    "cb_message": "message",
    "cb_single_url": "",
    "cookie_identifier": "",
    "webhook_secret": "",
    "api_security_token": (),
    "admin_password": "",
    "log_file_errors": "",
    "log_file_access": "",
    "log_level": "INFO",
    "debug": False,
    "ignore_missing_channel": False,
}


def settings_of(line):
    return Sources(parse(line.split(), cli.COMMANDS).flags, {}).read().settings


@pytest.mark.parametrize(("line", "name", "value"), FLAGS_OF_HOOKBOX_0_3, ids=[row[0] for row in FLAGS_OF_HOOKBOX_0_3])
def test_the_flags_of_hookbox_0_3_still_work(line, name, value):
    assert getattr(settings_of(line), name) == value


def test_the_defaults_of_hookbox_0_3_are_kept():
    assert {name: getattr(Settings(), name) for name in DEFAULTS_OF_HOOKBOX_0_3} == DEFAULTS_OF_HOOKBOX_0_3


def test_a_switch_can_be_turned_off_again():
    sources = Sources(parse(["--no-cbhttps"], cli.COMMANDS).flags, {"HOOKBOX_CBHTTPS": "1"})
    assert sources.read().settings.cbhttps is False


def test_flags_are_not_abbreviated():
    with pytest.raises(ConfigError, match="did you mean --webhook-secret"):
        parse(["--webhook-secre", "x"], cli.COMMANDS)


@pytest.mark.parametrize("line", ["dev -p 1", "-p 1 dev", "-p 1 serve", "-p 1"])
def test_the_command_may_stand_before_or_after_flags(line):
    assert parse(line.split(), cli.COMMANDS).command == ("dev" if "dev" in line else "serve")
    assert settings_of(line).port == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--prot 3", "unknown flag --prot; did you mean --port"),
        ("--admin-pasword=secret", "did you mean --admin-password"),
        ("-z", "unknown flag -z"),
        ("-p", "-p/--port: expected one argument"),
        ("-p abc", "--port: 'abc' is not allowed; port is a whole number from 0 to 65535"),
        ("-p 65536", "from 0 to 65535"),
        ("--ping-interval 0", "a time from 0.001"),
        ("serv", "unknown command 'serv'; did you mean serve?"),
        ("dev more", "'more' is too much after dev"),
        ("--certfile x", "keyfile is missing"),
        ("--config /nowhere.toml", "/nowhere.toml cannot be read"),
    ],
)
@pytest.mark.parametrize("wish", ["", " --check-config"])
def test_a_mistake_ends_with_2_and_one_helpful_line(line, words, wish, capsys, monkeypatch):
    monkeypatch.setattr(cli.os, "environ", {})
    assert cli.main((line + wish).split()) == cli.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hookbox: ")
    assert err.count("\n") == 1
    assert words in err
    assert "secret" not in err


@given(st.lists(st.text(st.characters(exclude_characters="\0"), max_size=8) | st.sampled_from(["-p", "--port", "dev", "-dx"])))
def test_any_command_line_is_read_or_a_config_error(argv):
    with suppress(ConfigError):
        assert parse(argv, cli.COMMANDS).command in cli.COMMANDS


def test_help_names_every_flag_and_fits_a_terminal(capsys):
    assert cli.main(["--help"]) == cli.OK
    out = capsys.readouterr().out
    for name in ABOUT:
        for flag in flags_of(name):
            assert flag in out
    for command in cli.COMMANDS:
        assert f"\n  {command} " in out
    assert max(map(len, out.split("\n"))) <= 100


def test_version(capsys):
    assert cli.main(["--version"]) == cli.OK
    assert capsys.readouterr().out == f"hookbox {__version__}\n"


def check_config(line, environ, capsys, monkeypatch):
    monkeypatch.setattr(cli.os, "environ", environ)
    assert cli.main([*line.split(), "--check-config"]) == cli.OK
    return capsys.readouterr().out


def test_check_config_says_where_each_value_comes_from(tmp_path, capsys, monkeypatch):
    file = tmp_path / "hookbox.toml"
    file.write_text("\nclient_rate = 5\n")
    out = check_config(f"-p 0 --config {file}", {"HOOKBOX_CBPORT": "8000"}, capsys, monkeypatch)
    rows = {line.split()[0]: line for line in out.splitlines() if " = " in line}
    assert rows["port"].split() == ["port", "=", "0", "#", "--port"]
    assert rows["cbport"].endswith("# HOOKBOX_CBPORT")
    assert rows["client_rate"].endswith(f"# {file}:2")
    assert rows["cbhost"].endswith("# default")


def test_check_config_prints_a_file_that_means_the_same(tmp_path, capsys, monkeypatch):
    out = check_config("-p 9 --origin https://a.example -x --leave-grace 90ms", {}, capsys, monkeypatch)
    file = tmp_path / "hookbox.toml"
    file.write_text(out)
    again = check_config(f"--config {file}", {}, capsys, monkeypatch)
    assert tomllib.loads(again) == tomllib.loads(out)
    assert tomllib.loads(out).keys() == ABOUT.keys() - {"config", "web_api_port", "fd", "web_api_fd"}


def test_check_config_masks_secrets_A13(capsys, monkeypatch):
    line = "-s canary1 -r canary2 -r canary3 -a canary4 --cb-single-url http://me:canary5@app/x"
    out = check_config(line, {}, capsys, monkeypatch)
    assert "canary" not in out
    assert 'webhook_secret = "***"' in out
    assert 'api_security_token = ["***", "***"]' in out
    assert "http://***@app/x" in out


def test_check_config_shows_doubts(capsys, monkeypatch):
    monkeypatch.setattr(cli.os, "environ", {"HOOKBOX_URL": "x"})
    assert cli.main(["--check-config"]) == cli.OK
    assert "HOOKBOX_URL" in capsys.readouterr().err


def test_every_setting_has_a_flag_of_its_name():
    for name in ABOUT:
        assert flag_of(name) in flags_of(name)
