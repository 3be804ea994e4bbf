"""What is remembered of connections, and which requests count as the console's own."""

from types import SimpleNamespace

import pytest

from hookbox.admin import past
from hookbox.admin.asked import Problem
from hookbox.admin.feed import A_SECOND, Tap, is_channel
from hookbox.admin.gatekeeper import COOKIE, Gatekeeper
from hookbox.admin.logins import IDLE_SECONDS, Logins
from hookbox.admin.past import Past
from hookbox.clock import ManualClock
from hookbox.core.connection import Connection
from hookbox.core.watchers import Note


class Rig:
    def __init__(self):
        self.clock = ManualClock()
        self.past = Past(self.clock.now)

    def note(self, kind, name, session="", **about):
        connection = Connection(name, None, "", "", 0.0)
        connection.session = session
        self.past.keep(Note(kind, connection, about))

    def kinds(self, *found):
        return [kept.kind for kept in found]


@pytest.fixture
def rig():
    return Rig()


def test_a_connection_that_resumes_tells_one_story_with_what_it_was_before(rig):
    rig.note("opened", "first")
    rig.note("connected", "first")
    rig.note("closed", "first")
    rig.note("opened", "second")
    rig.note("opened", "other")
    rig.note("resumed", "first", before="second")
    found = rig.past.of_connection("first")
    assert rig.kinds(*found) == ["opened", "connected", "closed", "opened", "resumed"]
    assert "before" not in found[-1].about


def test_a_session_tells_the_story_of_all_its_connections_whatever_carries_them(rig):
    rig.note("opened", "websocket")
    rig.note("closed", "websocket", "s1")
    rig.note("opened", "stranger", "s2")
    rig.note("opened", "comet")
    rig.note("connected", "comet", "s1")
    assert rig.kinds(*rig.past.of_session("s1")) == ["opened", "closed", "opened", "connected"]


def test_only_the_last_notes_are_remembered(rig, monkeypatch):
    monkeypatch.setattr(past, "KEPT", 3)
    rig.past = Past(rig.clock.now)
    for number in range(10):
        rig.note("resumed", str(number), before=f"before-{number}")
    assert not rig.past.of_connection("6")
    assert rig.past.of_connection("7")
    assert len(rig.past._later_ids) == 3


def test_a_tap_lets_so_much_through_in_a_second_and_counts_the_rest():
    tap = Tap()
    assert [tap.lets_through(10.0) for _ in range(A_SECOND + 7)].count(True) == A_SECOND
    assert tap.take_left_out() == 7
    assert tap.take_left_out() == 0
    assert tap.lets_through(11.0)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("overview", True), ("follow:" + "0f" * 16, True), ("follow:x", False), ("lobby", False), ("follow:" + "A" * 32, False)],
)  # fmt: skip
def test_A11_the_feed_has_its_own_channels_and_no_others(name, is_one):
    assert is_channel(name) is is_one


class Asking:
    """Requests to the gatekeeper."""

    def __init__(self):
        self.clock = ManualClock()
        self.logins = Logins(lambda: "right", self.clock)
        self.keeper = Gatekeeper(self.logins)
        self.cookie = self.logins.open("right", "192.0.2.1")
        self.csrf = self.logins.find(self.cookie).csrf

    def environ(self, method="POST", **headers):
        given = {"COOKIE": f"{COOKIE}={self.cookie}", "HOST": "a.example", "ORIGIN": "https://a.example"}
        given |= {"X_HOOKBOX_CSRF": self.csrf} | headers
        return {"REQUEST_METHOD": method, **{f"HTTP_{name}": value for name, value in given.items()}}


@pytest.fixture
def asking(monkeypatch):
    monkeypatch.setattr("hookbox.admin.passwords.COST", 16)
    return Asking()


def test_A11_the_host_that_a_trusted_proxy_was_asked_counts(asking):
    # the door has taken this header away unless it comes from a trusted proxy
    behind = {"HOST": "127.0.0.1:8001", "X_FORWARDED_HOST": "a.example"}
    assert asking.keeper.admit(asking.environ(**behind)).csrf == asking.csrf
    with pytest.raises(Problem, match="Host header"):
        asking.keeper.admit(asking.environ(HOST="127.0.0.1:8001"))


def test_A11_reading_needs_the_login_alone_and_a_change_everything(asking):
    asking.keeper.admit(asking.environ("GET", ORIGIN="", X_HOOKBOX_CSRF=""))
    for lacking in ({"ORIGIN": ""}, {"X_HOOKBOX_CSRF": ""}, {"X_HOOKBOX_CSRF": "x"}, {"COOKIE": ""}):
        for method in ("POST", "PATCH", "DELETE", "PUT"):
            with pytest.raises(Problem) as refused:
                asking.keeper.admit(asking.environ(method, **lacking))
            assert refused.value.status == (401 if "COOKIE" in lacking else 403)


def test_A11_what_a_page_loads_by_itself_is_no_sign_of_anybody_being_there(asking):
    asking.clock.advance(IDLE_SECONDS - 1)
    asking.keeper.admit(asking.environ("GET", X_HOOKBOX_BACKGROUND="1"))
    asking.keeper.admit_feed(asking.environ("GET"))
    asking.clock.advance(2)
    with pytest.raises(Problem, match="log in"):
        asking.keeper.admit(asking.environ("GET"))


def test_a_note_is_of_the_moment(rig):
    connection = SimpleNamespace(id="c1", session="", user=SimpleNamespace(name="ann"))
    kept = rig.past.keep(Note("connected", connection, {}))
    connection.user = None
    assert kept.item()["user"] == "ann"


def test_A12_what_an_application_says_is_kept_without_secrets_and_not_longer_than_it_helps():
    secret = Past(ManualClock().now, lambda: ["configured-canary"])
    connection = Connection("c1", None, "sessionid=canary-cookie", "", 0.0)
    why = "no session canary-cookie, configured-canary" + "x" * 100_000
    kept = secret.keep(Note("refused", connection, {"why": why, "frame": 4, "origin": "http://" + "y" * 9000}))
    assert kept.about["why"].startswith("no session ***, ***x")
    assert kept.about["frame"] == 4
    assert max(len(str(value)) for value in kept.about.values()) == past.LONGEST
