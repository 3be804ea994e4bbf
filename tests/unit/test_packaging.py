"""What is in packaging/, read as those who use it will: every flag, setting, path and name in it exists."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from hookbox.cli import COMMANDS
from hookbox.flags import flags_of, parse
from hookbox.manpage import escaped, man_page
from hookbox.settings import ABOUT, Settings
from hookbox.sources import Sources, variable_of
from hookbox.web.inherited import API_NAME, DoorName

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
UNITS = PACKAGING / "systemd"
DOCKER = PACKAGING / "docker"
STORE = "/var/lib/hookbox/hookbox.db"
VARIABLES = {variable_of(name) for name in ABOUT}


class Unit(dict):
    """A unit file: directives by section; each has a list of values."""

    def __init__(self, name):
        section = None
        for line in (UNITS / name).read_text().splitlines():
            if line.startswith("["):
                section = self.setdefault(line.strip("[]"), {})
            elif line and not line.startswith("#"):
                key, _, value = line.partition("=")
                section.setdefault(key, []).append(value)

    def __call__(self, section, key):
        (value,) = self[section][key]
        return value


@pytest.fixture(scope="module")
def service():
    return Unit("hookbox.service")


@pytest.fixture
def effective(tmp_path):
    """The settings that an environment makes, with another directory for the store, as it has to be there."""

    def effective(flags=(), **environ):
        store = environ.pop("HOOKBOX_STORE", STORE)
        assert store == STORE
        read = Sources(dict(flags), {**environ, "HOOKBOX_STORE": str(tmp_path / Path(store).name)}).read()
        assert not read.warnings
        return read.settings

    return effective


# systemd


def test_the_service_is_started_with_flags_that_exist_and_the_file_that_is_here(service, effective, tmp_path):
    program, *words = shlex.split(service("Service", "ExecStart"))
    assert Path(program).name == "hookbox"
    line = parse(words, COMMANDS)
    assert line.flags["config"] == "/etc/hookbox/hookbox.toml"
    file = tomllib.loads((UNITS / "hookbox.toml").read_text())
    assert file["store"] == STORE
    here = tmp_path / "hookbox.toml"
    here.write_text((UNITS / "hookbox.toml").read_text().replace(STORE, ":memory:"))
    settings = effective({"config": str(here)})
    assert settings.path_prefix == file["path_prefix"]
    assert str(Path(STORE).parent) == service("Service", "WorkingDirectory")
    assert service("Service", "WorkingDirectory") == "/var/lib/" + service("Service", "StateDirectory")


def test_the_service_manager_waits_longer_than_hookbox_drains(service):
    defaults = Settings()
    assert int(service("Service", "TimeoutStopSec")) > defaults.drain_grace + defaults.shutdown_grace
    assert service("Service", "Type") == "notify"
    assert int(service("Service", "WatchdogSec")) >= 10
    assert service("Service", "ExecReload") == "/bin/kill -HUP $MAINPID"
    assert service("Service", "Restart") == "on-failure"  # one that was replaced ends with 0
    assert service("Service", "DynamicUser") == "yes"


def test_the_sockets_have_the_names_that_hookbox_knows(service):
    public, api = Unit("hookbox.socket"), Unit("hookbox-api.socket")
    assert api("Socket", "FileDescriptorName") == API_NAME == DoorName.API.value
    assert public("Socket", "FileDescriptorName") == DoorName.PUBLIC.value
    assert api("Socket", "Service") == "hookbox.service"
    assert api("Socket", "Accept") == public("Socket", "Accept") == "no"
    assert set(service("Unit", "Requires").split()) == {"hookbox.socket", "hookbox-api.socket"}
    assert public("Socket", "ListenStream").endswith(f":{Settings().port}")


def test_the_file_of_secrets_names_settings_that_are_secret():
    named = re.findall(r"^#?(HOOKBOX_\w+)=(.*)$", (UNITS / "hookbox.env").read_text(), re.MULTILINE)
    assert len(named) >= 3
    for variable, value in named:
        assert ABOUT[variable.removeprefix("HOOKBOX_").lower()].secret
        assert value == ""


def test_systemd_finds_no_fault(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("NOT TESTED: systemd-analyze is missing")
    pages = tmp_path / "man" / "man1"
    pages.mkdir(parents=True)
    shutil.copy(PACKAGING / "hookbox.1", pages)
    units = [shutil.copy(unit, tmp_path) for unit in UNITS.glob("*.s*")]
    (tmp_path / "hookbox.service").write_text(
        (UNITS / "hookbox.service").read_text().replace("/opt/hookbox/bin/hookbox", "/bin/true")
    )
    command = ["systemd-analyze", "verify", "--man=no", *units]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# images


def instructions(name):
    """The instructions of a Dockerfile, in order: word and the rest, on one line."""
    text = re.sub(r"^#.*\n", "", (DOCKER / name).read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def last(name, word):
    return [rest for each, rest in instructions(name) if each == word][-1]


def environment(name):
    return dict(item.split("=", 1) for word, rest in instructions(name) if word == "ENV" for item in rest.split())


def is_sent(path):
    """Whether .dockerignore lets a path through: the last line that fits counts."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!")
            parts = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
            if any(fnmatch(part, pattern.replace("**/", "*")) for part in parts) or pattern == "*":
                sent = line.startswith("!")
    return sent


@pytest.mark.parametrize("name", ["Dockerfile", "example.Dockerfile"])
def test_an_image_is_made_of_what_is_there_runs_as_nobody_and_hears_signals(name):
    stages = [rest.split()[-1] for word, rest in instructions(name) if word == "FROM" and " AS " in rest]
    for word, rest in instructions(name):
        if word == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists()
                assert is_sent(source), f".dockerignore keeps {source} away"
        elif word == "COPY":
            assert re.match(r"--from=(\S+)", rest)[1] in stages
        assert word not in ("ARG", "ADD")
    user, group = map(int, last(name, "USER").split(":"))
    assert user == group > 0
    assert isinstance(json.loads(last(name, "ENTRYPOINT")), list)  # a shell would swallow signals
    assert last(name, "STOPSIGNAL") == "SIGTERM"
    assert last(name, "VOLUME") == last(name, "WORKDIR")


def test_only_what_an_image_needs_goes_to_the_engine():
    for path in (".git/config", "tests/running.py", "docs/api.md", "packaging/systemd/hookbox.env", ".env",
                 "hookbox/core/__pycache__/x.pyc", "examples/chat/chat.sqlite3", "hookbox.db"):  # fmt: skip
        assert not is_sent(path), path
    assert is_sent("hookbox/js/hookbox.min.js")


def test_the_image_of_hookbox_has_settings_that_exist_and_no_secret(effective):
    given = {key: value for key, value in environment("Dockerfile").items() if key.startswith("HOOKBOX_")}
    settings = effective(**given)
    assert settings.interface == "0.0.0.0"
    assert last("Dockerfile", "EXPOSE") == str(settings.port)
    assert str(Path(given["HOOKBOX_STORE"]).parent) == last("Dockerfile", "VOLUME")
    assert settings.secrets == ()
    assert json.loads(last("Dockerfile", "ENTRYPOINT")) == ["hookbox"]


def test_the_source_that_is_copied_is_all_that_its_setup_reads():
    read = set(re.findall(r'HERE / "([^"]+)"', (ROOT / "setup.py").read_text()))
    copied = {source for word, rest in instructions("Dockerfile") if word == "COPY" for source in rest.split()}
    assert all(name in copied or name.split("/")[0] in copied for name in read)


# compose


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((DOCKER / "compose.yml").read_text())


def test_compose_builds_from_files_that_are_there(compose):
    for service in compose["services"].values():
        if build := service.get("build"):
            assert (DOCKER / build["context"]).resolve() == ROOT
            assert (ROOT / build["dockerfile"]).is_file()
        for volume in service["volumes"]:
            source, target = volume.split(":")[:2]
            if source.startswith("."):
                assert (DOCKER / source).is_file()
            else:
                assert source in compose["volumes"]
                assert target == last(Path(build["dockerfile"]).name, "VOLUME")
        assert set(service.get("depends_on", ())) <= set(compose["services"])


def test_compose_gives_hookbox_settings_that_exist_and_secrets_from_outside(compose, effective):
    service = compose["services"]["hookbox"]
    given = dict(service["environment"])
    for name in ("HOOKBOX_WEBHOOK_SECRET", "HOOKBOX_API_SECURITY_TOKEN"):
        assert given[name].startswith("${" + name + ":?")
        assert compose["services"]["chat"]["environment"][name] == given[name]
        given[name] = f"from {name}"
    settings = effective(**environment_of_image(), **given)
    assert [settings.trusted_proxy[0]] == [each["subnet"] for each in compose["networks"]["default"]["ipam"]["config"]]
    assert settings.cbhost in compose["services"]
    chat = environment("example.Dockerfile")
    assert str(settings.cbport) == chat["CHAT_PORT"] == last("example.Dockerfile", "EXPOSE")
    told = compose["services"]["chat"]["environment"]
    assert told["CHAT_HOOKBOX_API"] == f"hookbox:{settings.web_api_port}"
    assert told["CHAT_HOOKBOX_URL"].endswith(settings.path_prefix)
    assert int(service["stop_grace_period"].rstrip("s")) > settings.drain_grace + settings.shutdown_grace
    read = " ".join(path.read_text() for path in (ROOT / "examples/chat").glob("*.py"))
    assert all(f'"{name}"' in read for name in {**chat, **told})


def environment_of_image():
    return {key: value for key, value in environment("Dockerfile").items() if key in VARIABLES}


def test_the_proxy_forwards_what_the_outside_may_reach_and_nothing_else(compose):
    caddy = (DOCKER / "Caddyfile").read_text()
    forwarded = re.findall(r"reverse_proxy (\w+):(\d+)", caddy)
    assert forwarded == [("hookbox", environment("Dockerfile")["HOOKBOX_PORT"]), ("chat", "8000")]
    assert compose["services"]["hookbox"]["environment"]["HOOKBOX_PATH_PREFIX"] + "/*" in caddy
    outside = [service for service in compose["services"].values() if "ports" in service]
    assert [service["ports"] for service in outside] == [["127.0.0.1:8080:8080"]]
    assert caddy.splitlines()[1].startswith(":8080 ")


# the manual page


def test_the_man_page_is_that_of_the_settings_as_they_are():
    assert (PACKAGING / "hookbox.1").read_text() == man_page(), "write it anew: make man"


def test_the_man_page_has_every_flag_and_variable_and_only_ascii():
    page = man_page()
    for name in ABOUT:
        assert f"Ev {variable_of(name)}\n" in page or f"Ev {variable_of(name)} ; Em restart\n" in page
        for flag in flags_of(name):
            assert re.search(rf"Fl (Fl )?{re.escape(flag.lstrip('-'))}\b", page)
    assert page.isascii()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a-b", r"a\-b"),
        (".Sh x", r"\&.Sh x"),
        ("'quoted", r"\&'quoted"),
        ("say `x`", r"say \(oqx\(cq"),
        ("back\\slash", r"back\eslash"),
    ],
)
def test_no_text_of_a_setting_is_a_request(text, written):
    assert escaped(text) == written


@pytest.mark.parametrize("reader", ["mandoc -T lint -W error", "groff -mandoc -Tascii -ww -z"])
def test_readers_of_manual_pages_find_no_fault(reader):
    command = shlex.split(reader)
    if not shutil.which(command[0]):
        pytest.skip(f"NOT TESTED: {command[0]} is missing")
    done = subprocess.run([*command, PACKAGING / "hookbox.1"], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_nothing_in_here_is_about_one_place():
    for path in [*PACKAGING.rglob("*"), ROOT / ".dockerignore"]:
        if path.is_file():
            assert not re.search(r"/home/|/root/|index-url|registry", path.read_text())
