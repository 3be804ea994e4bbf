"""Subscriptions by the clock: from the request to their end, with everything that happens on the way."""

import hashlib
import hmac
import json
from contextlib import contextmanager

import pytest
from hub_house import CALLBACK, ERRBACK, PUBLIC, HubHouse, asked, confirm, status
from post_office import answer
from store_values import message

from hookbox.delivery.exits import Exits
from hookbox.delivery.hub.values import Denial, Outcome, Permit
from hookbox.delivery.sender import Sent
from hookbox.errors import BadRequest, DeliveryStoreError, QueueFull

PAGE = "http://there.example/feed"


@pytest.fixture
def open_hub():
    opened = []

    def open_hub(**about):
        opened.append(HubHouse(**about).start())
        return opened[-1]

    yield open_hub
    for house in opened:
        house.close()


@pytest.fixture
def house(open_hub):
    return open_hub()


@contextmanager
def refused(status):
    with pytest.raises(BadRequest) as caught:
        yield caught
    assert caught.value.status == status


def confirmed_by(challenge):
    """A subscriber whose answer is made of the challenge."""
    return lambda outgoing: answer(200, body=challenge(asked(outgoing)["hub.challenge"].encode()))


# verification


def test_WD_H100_a_callback_is_asked_before_it_gets_anything(house):
    assert house.subscribe() is Outcome.ACCEPTED
    (get,) = house.gets()
    about = asked(get)
    assert list(about) == ["hub.mode", "hub.topic", "hub.challenge", "hub.lease_seconds"]
    assert (about["hub.mode"], about["hub.topic"], about["hub.lease_seconds"]) == (
        "subscribe",
        "news",
        "864000",
    )
    assert len(about["hub.challenge"]) == 43
    house.news()
    (post,) = house.posts()
    assert post.body == b"hello"
    headers = dict(post.headers)
    assert headers["Content-Type"] == "text/plain"
    assert headers["Link"] == f'<{PUBLIC}/hub>; rel="hub", <{PUBLIC}/topic/news>; rel="self"'
    assert not [name for name in headers if "ignature" in name]


def test_the_challenge_is_another_one_each_time(house):
    house.subscribe(status(404))
    house.subscribe(status(404))
    assert len({asked(get)["hub.challenge"] for get in house.gets()}) == 2


@pytest.mark.parametrize("text", ["news", f"{PUBLIC}/topic/news", "HTTP://hub.example:80/topic/%6Eews"])
def test_the_topic_is_said_as_the_subscriber_said_it(house, text):
    house.subscribe(hub_topic=text)
    assert asked(house.gets()[0])["hub.topic"] == text
    assert house.subscriptions[0].topics == ("news",)


@pytest.mark.parametrize(
    "answers",
    [
        confirmed_by(lambda c: b""),
        confirmed_by(lambda c: b"ok"),
        confirmed_by(lambda c: b"<html>" + c + b"</html>"),
        confirmed_by(lambda c: c + b"\n\n"),
        confirmed_by(lambda c: c + b"\r"),
        confirmed_by(lambda c: b" " + c),
        confirmed_by(lambda c: c[:-1]),
        confirmed_by(lambda c: c + b" " * 5000),
        *map(status, (404, 410, 500, 302, 301, 304)),
        lambda outgoing: answer(404, body=asked(outgoing)["hub.challenge"].encode()),
        lambda outgoing: Sent("blocked", detail="no"),
    ],
)
def test_WD_H07_whoever_does_not_confirm_gets_nothing_and_is_not_asked_again(house, answers):
    house.subscribe(answers)
    house.advance(3600)
    assert len(house.gets()) == 1
    assert not house.subscriptions
    assert not house.posts()
    assert house.told() == ["verification.failed"]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("code", [200, 202, 299])
def test_WD_H08_one_end_of_line_does_not_matter(house, end, code):
    house.subscribe(lambda outgoing: answer(code, body=asked(outgoing)["hub.challenge"].encode() + end))
    assert len(house.subscriptions) == 1


@pytest.mark.parametrize(
    "outcome", ["dns", "refused", "reset", "unreachable", "tls", "timeout", "connect_timeout"]
)
def test_WD_H13_a_callback_that_is_not_reached_is_tried_three_times(house, outcome):
    house.subscribe(lambda outgoing: Sent(outcome))
    began = house.receivers.times[0]
    house.pass_(600)
    assert [round(at - began) for at in house.receivers.times[:3]] == [0, 10, 70]
    assert len(house.gets()) == 3
    assert house.told() == ["verification.failed"]
    data = json.loads(house.posts(ERRBACK)[0].body)["data"]
    assert (data["url"], data["topic"], data["attempts"], data["reason"]) == (CALLBACK, "news", 3, outcome)


def test_a_callback_that_comes_back_in_time_is_subscribed(house):
    house.subscribe(lambda outgoing: Sent("refused"))
    house.answers.functions["GET", CALLBACK] = confirm
    house.advance(10.1)
    assert len(house.subscriptions) == 1
    assert house.told() == []


def test_WD_P04_verifications_survive_a_crash(house):
    house.receivers.think(CALLBACK)
    house.subscribe()
    assert house.gets()
    del house.receivers._doors[CALLBACK]
    house.hub.rota._group.kill()
    house.receivers.thinking = 0
    house.advance(20)
    assert not house.subscriptions
    house.crash()
    assert len(house.subscriptions) == 1
    assert len(house.gets()) == 2


def test_requests_about_one_subscription_are_dealt_with_in_their_order(house):
    house.subscribe(lambda outgoing: Sent("refused"))
    house.subscribe(None, hub_mode="unsubscribe")
    house.answers.functions["GET", CALLBACK] = confirm
    house.advance(10.1)
    assert [asked(get)["hub.mode"] for get in house.gets()] == ["subscribe", "subscribe", "unsubscribe"]
    assert not house.subscriptions


# what is subscribed


def test_WD_H101_a_secret_signs_what_is_sent(open_hub):
    for name in ("sha1", "sha256", "sha384", "sha512"):
        house = open_hub(signature=name)
        house.subscribe(hub_secret="correct horse battery staple")
        house.news(body=b'{"title":"hello"}')
        headers = dict(house.posts()[0].headers)
        right = hmac.new(b"correct horse battery staple", b'{"title":"hello"}', name).hexdigest()
        assert headers["X-Hub-Signature"] == f"{name}={right}"
        assert headers["X-Hub-Signature-256"] == (
            "sha256=ff372eb29019748c28bb2bb18a069e1fe405d7ee711bbd42b5ae44d325e91b8b"
        )
        assert "webhook-signature" not in headers
        assert headers["webhook-id"].startswith("msg_")


def test_WD_H101_the_old_dialect_gets_sha1(house):
    house.subscribe(hub_verify="async", hub_secret="correct horse battery staple")
    house.news(body=b'{"title":"hello"}')
    assert (
        dict(house.posts()[0].headers)["X-Hub-Signature"] == "sha1=6da3852c1efea77c433ba05d0a7ae1d236b329b3"
    )


def test_WD_H103_subscribing_again_renews(house):
    house.subscribe(hub_secret="old", hub_lease_seconds="600")
    house.advance(60)
    house.subscribe(hub_secret="new", hub_lease_seconds="1200")
    (one,) = house.subscriptions
    assert one.lease_until_ms == house.now_ms + 1_200_000
    house.news()
    (post,) = house.posts()
    right = hmac.new(b"new", b"hello", hashlib.sha256).hexdigest()
    assert dict(post.headers)["X-Hub-Signature"] == f"sha256={right}"
    house.subscribe()
    house.news()
    assert "X-Hub-Signature" not in dict(house.posts()[1].headers)
    (again,) = house.subscriptions
    assert again.id == one.id


def test_WD_H103_a_renewal_that_fails_changes_nothing(house):
    house.subscribe(hub_secret="old")
    (before,) = house.subscriptions
    house.subscribe(status(404), hub_secret="new", hub_lease_seconds="60")
    assert house.subscriptions == [before]
    house.subscribe(status(404), hub_mode="unsubscribe")
    assert house.subscriptions == [before]


def test_WD_H104_unsubscribing(house):
    house.subscribe()
    house.subscribe(hub_mode="unsubscribe", hub_lease_seconds="nonsense", hub_verify="foo,async")
    about = asked(house.gets()[1])
    assert list(about) == ["hub.mode", "hub.topic", "hub.challenge"]
    assert not house.subscriptions
    house.news()
    assert not house.posts()


def test_unsubscribing_what_is_not_subscribed_is_asked_and_does_nothing(house):
    house.subscribe(hub_mode="unsubscribe")
    assert len(house.gets()) == 1
    assert house.told() == []


def test_what_is_owed_when_it_unsubscribes_is_cancelled(house):
    house.subscribe()
    house.answers.functions["POST", CALLBACK] = status(500)
    (name,) = house.news()
    house.subscribe(hub_mode="unsubscribe")
    assert house.state(name) == ("cancelled", "unsubscribed")


def test_two_callbacks_and_two_topics_are_four_subscriptions(house):
    for topic in ("news", "weather"):
        for callback in (CALLBACK, CALLBACK + "?2"):
            house.subscribe(hub_topic=topic, hub_callback=callback)
    assert len(house.subscriptions) == 4
    house.news("weather")
    assert len(house.posts()) == len(house.posts(CALLBACK + "?2")) == 1


# leases


@pytest.mark.parametrize(
    ("asked_for", "granted"), [("1", 60), ("60", 60), ("3600", 3600), ("", 864_000), ("9" * 20, 2_592_000)]
)
def test_WD_H11_leases_are_kept_in_bounds(house, asked_for, granted):
    house.subscribe(hub_lease_seconds=asked_for)
    assert asked(house.gets()[0])["hub.lease_seconds"] == str(granted)
    assert house.subscriptions[0].lease_until_ms == house.now_ms + granted * 1000


def test_WD_H11_a_lease_ends(house):
    house.subscribe(hub_lease_seconds="60")
    house.answers.functions["POST", CALLBACK] = status(500)
    (owed,) = house.news()
    house.pass_(59)
    assert house.subscriptions
    house.pass_(2)
    assert not house.subscriptions
    assert house.state(owed)[0] in ("cancelled", "dead")
    assert house.state(owed)[1] == "expired"
    assert "subscription.expired" in house.told()
    assert house.news() == []


def test_WD_H11_what_waits_at_the_end_of_a_lease_is_cancelled(house):
    house.subscribe(hub_lease_seconds="600")
    house.answers.functions["POST", CALLBACK] = lambda outgoing: answer(503, ("retry-after", "700"))
    (first,) = house.news()
    (second,) = house.news()
    house.pass_(601)
    assert house.state(second) == ("cancelled", "expired")
    assert house.state(first)[1] == "expired"


def test_a_retry_behind_the_end_of_the_lease_is_not_planned(house):
    house.subscribe(hub_lease_seconds="60")
    house.answers.functions["POST", CALLBACK] = lambda outgoing: answer(503, ("retry-after", "100"))
    (owed,) = house.news()
    assert house.state(owed) == ("dead", "expired")


def test_WD_H11_renewing_in_time_leaves_no_gap(house):
    house.subscribe(hub_lease_seconds="60")
    for _ in range(5):
        house.pass_(50)
        house.subscribe(hub_lease_seconds="60")
        house.news()
    assert len(house.posts()) == 5
    house.pass_(59)
    assert len(house.subscriptions) == 1
    assert "subscription.expired" not in house.told()


def test_the_lease_runs_from_the_moment_the_callback_was_asked(house):
    door = house.receivers.think(CALLBACK)
    house.subscribe(hub_lease_seconds="60")
    began = house.now_ms
    house.advance(8)
    door.set()
    house.settle()
    assert house.subscriptions[0].lease_until_ms == began + 60_000


def test_leases_that_ended_while_down_end_at_the_start(house):
    house.subscribe(hub_lease_seconds="60")
    house.answers.functions["POST", CALLBACK] = status(500)
    (owed,) = house.news()
    house.worker._group.kill()
    house.hub.rota._group.kill()
    house.clock.advance(3600)
    house.crash()
    assert not house.subscriptions
    assert house.state(owed) == ("cancelled", "expired")


def test_WD_H22_subscriptions_survive_a_restart(house):
    house.subscribe(hub_lease_seconds="600", hub_secret="s")
    (before,) = house.subscriptions
    house.crash()
    assert house.subscriptions == [before]
    house.news()
    assert "X-Hub-Signature" in dict(house.posts()[0].headers)
    house.pass_(601)
    assert not house.subscriptions


# distribution


def test_WD_H14_failing_is_no_reason_to_end_a_subscription(house):
    house.subscribe(hub_lease_seconds="2592000")
    house.answers.functions["POST", CALLBACK] = status(500)
    (name,) = house.news()
    while house.state(name) == "scheduled":
        house.advance(86_400)
    assert house.state(name)[0] == "dead"
    (one,) = house.subscriptions
    assert one.enabled
    house.answers.functions["POST", CALLBACK] = status(200)
    house.crash()
    (name,) = house.news()
    house.pass_(1000)
    assert house.state(name) == "succeeded"


def test_WD_H15_gone_ends_a_subscription_and_not_found_does_not(house):
    house.subscribe()
    house.answers.functions["POST", CALLBACK] = status(404)
    house.news()
    assert len(house.subscriptions) == 1
    house.answers.functions["POST", CALLBACK] = status(410)
    (name,) = house.news()
    assert house.state(name) == ("dead", "gone")
    assert not house.subscriptions
    assert house.worker.endpoint(house.store.delivery(name).endpoint or "x") is None
    assert house.news() == []
    house.subscribe()
    assert len(house.subscriptions) == 1


def test_gone_while_another_notification_is_under_way_stays_gone(house):
    house.subscribe()
    door = house.receivers.think(CALLBACK)
    first, second = house.news() + house.news()
    codes = iter([410, 500])
    house.answers.functions["POST", CALLBACK] = lambda outgoing: answer(next(codes))
    door.set()
    house.settle()
    assert not house.subscriptions
    assert {house.state(first), house.state(second)} == {("dead", "gone"), ("cancelled", "endpoint deleted")}
    house.crash()
    assert not house.subscriptions


def test_a_wish_to_be_disabled_is_ignored(house):
    house.subscribe()
    house.answers.functions["POST", CALLBACK] = lambda outgoing: answer(500, ("webhook-delivery", "disable"))
    house.news()
    assert house.subscriptions[0].enabled


def test_redirects_are_failures_and_answers_are_not_kept(house):
    house.subscribe()
    house.answers.functions["POST", CALLBACK] = lambda outgoing: answer(302, body=b"secret page")
    (name,) = house.news()
    (attempt,) = house.store.attempts(name)
    assert (attempt.outcome, attempt.body) == ("http_3xx", b"")


def test_a_topic_that_is_a_url_is_no_pattern(house):
    house.subscribe(hub_topic="http://there.example/*")
    assert house.subscriptions[0].topics == ("http://there.example/*",)


def test_what_is_accepted_for_a_subscription_that_just_ended_is_owed_to_nobody(house):
    from store_values import delivery, message

    from hookbox.delivery.store.base import Entry

    house.store.accept(
        Entry(
            message(900_000),
            (delivery(900_000, endpoint="ep_gone"), delivery(900_000, url="http://b.example/")),
        )
    )
    assert [each.url for each in house.everything()] == ["http://b.example/"]


# the application


def test_WD_H12_a_denial_is_told_to_the_callback_once(house):
    house.verdict = Denial("members only")
    house.subscribe(status(500))
    house.pass_(600)
    (get,) = house.gets()
    assert asked(get) == {"hub.mode": "denied", "hub.topic": "news", "hub.reason": "members only"}
    assert not house.subscriptions
    assert house.questions == [("news", CALLBACK, 864_000)]


def test_the_application_may_shorten_a_lease(house):
    house.verdict = Permit(30)
    house.subscribe()
    assert asked(house.gets()[0])["hub.lease_seconds"] == "30"
    house.verdict = Permit(10**9)
    house.subscribe()
    assert asked(house.gets()[1])["hub.lease_seconds"] == "864000"


def test_the_application_has_no_say_in_unsubscribing_nor_in_other_peoples_topics(house):
    house.subscribe(hub_mode="unsubscribe")
    house.subscribe(hub_topic=PAGE)
    assert house.questions == []
    assert len(house.subscriptions) == 1


# the 0.3 dialect


def test_WD_H19_who_waits_is_told_how_it_went(house):
    assert house.subscribe(confirm, hub_verify="sync", settle=False) is Outcome.VERIFIED
    assert house.subscribe(status(404), hub_verify="sync", settle=False) is Outcome.REFUSED
    house.verdict = Denial("no")
    assert house.subscribe(hub_verify="sync", settle=False) is Outcome.REFUSED
    assert house.subscribe(hub_verify="async") is Outcome.ACCEPTED


def test_WD_H19_the_token_is_said_again(house):
    house.subscribe(hub_verify="async", hub_verify_token="a&b=\u00e9")
    about = asked(house.gets()[0])
    assert list(about)[-1] == "hub.verify_token"
    assert about["hub.verify_token"] == "a&b=\u00e9"
    house.subscribe(hub_verify_token="t")
    assert "hub.verify_token" not in asked(house.gets()[1])


def test_WD_H19_a_lease_for_ever_is_renewed_by_itself(house):
    house.subscribe(hub_verify="async", hub_verify_token="t", hub_secret="s")
    first = house.now_ms
    house.advance(0.9 * 864_000 - 60)
    assert len(house.gets()) == 1
    house.advance(120)
    assert len(house.gets()) == 2
    assert asked(house.gets()[1])["hub.verify_token"] == "t"
    (one,) = house.subscriptions
    assert one.lease_until_ms > first + 1.8 * 864_000_000
    assert one.hub_secret == "s"
    house.advance(0.9 * 864_000)
    assert len(house.gets()) == 3
    house.answers.functions["GET", CALLBACK] = status(404)
    house.advance(0.9 * 864_000)
    assert len(house.gets()) == 4
    house.advance(0.2 * 864_000)
    assert not house.subscriptions
    assert house.told() == ["verification.failed", "subscription.expired"]


def test_WD_H19_a_lease_that_was_asked_for_just_ends(house):
    house.subscribe(hub_verify="async", hub_lease_seconds="600")
    house.pass_(601)
    assert len(house.gets()) == 1
    assert not house.subscriptions


# limits


def test_WD_H23_a_flood_of_requests_is_stopped_by_host(house):
    house.receivers.think("http://reader.example/slow")
    for _ in range(20):
        house.subscribe(None, hub_callback="http://reader.example/slow")
    with refused(429):
        house.subscribe(None, hub_callback="http://reader.example/other")
    house.subscribe(hub_callback="http://another.example/")
    for _ in range(59):
        house.subscribe(hub_callback="http://another.example/")
    with refused(429) as caught:
        house.subscribe(hub_callback="http://another.example:8080/x")
    assert ("Retry-After", "30") in caught.value.headers
    house.advance(2)
    house.subscribe(hub_callback="http://another.example/")


def test_there_are_so_many_subscriptions(open_hub):
    house = open_hub(most=2)
    for n in range(2):
        house.subscribe(hub_callback=f"http://r{n}.example/")
    with refused(503):
        house.subscribe(hub_callback="http://r3.example/")
    house.subscribe(hub_callback="http://r1.example/")


def test_a_hub_for_its_own_topics_refuses_others(open_hub):
    house = open_hub(topics="own", topic_hosts=("here.example",))
    with refused(403):
        house.subscribe(hub_topic=PAGE)
    with refused(403):
        house.hub.ping([house.request(hub_topic=PAGE).topic])
    house.subscribe(hub_topic="http://HERE.example/x")
    assert len(house.subscriptions) == 1


def test_an_operator_ends_a_subscription_and_its_callback_is_told(house):
    house.subscribe()
    (one,) = house.subscriptions
    assert house.hub.end(one.id, "because")
    house.settle()
    assert not house.subscriptions
    assert asked(house.gets()[1]) == {"hub.mode": "denied", "hub.topic": "news", "hub.reason": "because"}
    assert not house.hub.end(one.id)


# other people's pages


def page(body=b"<feed/>", *headers):
    return lambda outgoing: answer(200, ("Content-Type", "application/atom+xml"), *headers, body=body)


def ping(house, *urls, settle=True):
    house.hub.ping([house.request(hub_topic=url).topic for url in urls or (PAGE,)])
    if settle:
        house.settle()


@pytest.fixture
def reader(house):
    """A hub with one subscriber to somebody's page."""
    house.subscribe(hub_topic=PAGE)
    house.answers.functions["GET", PAGE] = page()
    return house


def test_WD_H17_a_page_that_has_changed_is_fetched_and_distributed(reader):
    ping(reader)
    (get,) = reader.gets(PAGE)
    assert dict(get.headers)["User-Agent"].endswith(f"(+{PUBLIC}; 1 subscribers)")
    assert dict(get.headers)["Accept-Encoding"] == "identity"
    (post,) = reader.posts()
    assert post.body == b"<feed/>"
    assert dict(post.headers)["Content-Type"] == "application/atom+xml"
    assert f'<{PAGE}>; rel="self"' in dict(post.headers)["Link"]


def test_WD_H17_without_readers_nothing_is_fetched(house):
    house.answers.functions["GET", PAGE] = page()
    ping(house)
    assert not house.gets(PAGE)


def test_WD_H17_many_pings_are_one_fetch_and_one_more_if_they_come_during_it(reader):
    door = reader.receivers.think(PAGE)
    ping(reader)
    for _ in range(9):
        ping(reader)
    assert len(reader.gets(PAGE)) == 1
    door.set()
    reader.settle()
    assert len(reader.gets(PAGE)) == 1
    reader.advance(1.01)
    assert len(reader.gets(PAGE)) == 2
    reader.advance(60)
    assert len(reader.gets(PAGE)) == 2


def test_WD_H17_pages_are_fetched_once_a_second_at_most(reader):
    for _ in range(30):
        ping(reader)
        reader.advance(0.1)
    assert len(reader.gets(PAGE)) in (3, 4)


def test_WD_H17_what_has_not_changed_is_not_distributed(reader):
    reader.answers.functions["GET", PAGE] = page(b"<feed/>", ("ETag", '"1"'), ("Last-Modified", "Mon"))
    ping(reader)
    reader.advance(2)
    reader.answers.functions["GET", PAGE] = status(304)
    ping(reader)
    headers = dict(reader.gets(PAGE)[1].headers)
    assert (headers["If-None-Match"], headers["If-Modified-Since"]) == ('"1"', "Mon")
    reader.advance(2)
    reader.answers.functions["GET", PAGE] = page(b"<feed/>", ("ETag", '"2"'))
    ping(reader)
    assert len(reader.posts()) == 1
    reader.advance(2)
    reader.answers.functions["GET", PAGE] = page(b"<feed>2</feed>")
    ping(reader)
    assert dict(reader.gets(PAGE)[3].headers)["If-None-Match"] == '"2"'
    assert [post.body for post in reader.posts()] == [b"<feed/>", b"<feed>2</feed>"]


def test_WD_H17_redirects_are_followed_so_far(reader):
    def to(url):
        return lambda outgoing: answer(302, ("Location", url))

    reader.answers.functions["GET", PAGE] = to("/2")
    for n in range(2, 6):
        reader.answers.functions["GET", f"http://there.example/{n}"] = to(f"/{n + 1}")
    reader.answers.functions["GET", "http://there.example/6"] = page()
    ping(reader)
    assert len(reader.posts()) == 1
    reader.answers.functions["GET", "http://there.example/6"] = to("/7")
    reader.advance(2)
    ping(reader)
    assert not reader.gets("http://there.example/7")


def test_WD_G04_a_redirect_to_where_nobody_may_go_ends_it(reader):
    reader.answers.functions["GET", PAGE] = lambda o: answer(302, ("Location", "http://169.254.169.254/"))
    reader.answers.functions["GET", "http://169.254.169.254/"] = lambda o: Sent("blocked")
    ping(reader)
    reader.pass_(1000)
    assert reader.told() == ["fetch.failed"]
    assert len(reader.gets(PAGE)) == 1


@pytest.mark.parametrize(
    "fault",
    [
        status(500),
        status(404),
        status(204),
        lambda o: Sent("timeout"),
        lambda o: answer(200, body=b"x", truncated=True),
    ],
)
def test_a_fetch_that_fails_is_tried_again_and_then_told(reader, fault):
    reader.answers.functions["GET", PAGE] = fault
    began = len(reader.receivers.times)
    ping(reader)
    reader.pass_(1000)
    times = reader.receivers.times[began : began + 4]
    assert [round(at - times[0]) for at in times] == [0, 5, 65, 365]
    assert len(reader.gets(PAGE)) == 4
    assert reader.told() == ["fetch.failed"]
    assert not [post for post in reader.posts() if post.body != b""]


def test_a_ping_does_not_wait_for_the_next_try(reader):
    reader.answers.functions["GET", PAGE] = status(500)
    ping(reader)
    reader.pass_(6)
    assert len(reader.gets(PAGE)) == 2
    reader.answers.functions["GET", PAGE] = page()
    ping(reader)
    reader.advance(1.01)
    assert len(reader.posts()) == 1


def test_WD_P11_a_ping_that_was_acknowledged_survives_a_crash(reader):
    reader.hub.rota._group.kill()
    reader.hub.ping([reader.request(hub_topic=PAGE).topic])
    assert not reader.gets(PAGE)
    reader.crash()
    assert len(reader.posts()) == 1
    reader.crash()
    assert len(reader.gets(PAGE)) == 1


def test_a_page_that_has_a_name_of_its_own_is_called_so(reader):
    reader.answers.functions["GET", PAGE] = page(b"1", ("Link", '</canonical>; rel="self"'))
    ping(reader)
    reader.crash()
    reader.advance(2)
    reader.answers.functions["GET", PAGE] = page(b"2", ("Link", '</canonical>; rel="self"'))
    ping(reader)
    for post in reader.posts():
        assert '<http://there.example/canonical>; rel="self"' in dict(post.headers)["Link"]


def test_pages_nobody_reads_any_more_are_forgotten(house):
    house.subscribe(hub_topic=PAGE, hub_lease_seconds="60")
    house.answers.functions["GET", PAGE] = page()
    ping(house)
    house.pass_(120)
    assert house.hub._records.page(PAGE).sha256 == ""


def test_json_that_is_none_is_passed_on_as_it_came(reader):
    reader.answers.functions["GET", PAGE] = lambda o: answer(
        200, ("Content-Type", "application/json"), body=b' {"a":1}\n'
    )
    ping(reader)
    reader.advance(2)
    reader.answers.functions["GET", PAGE] = lambda o: answer(
        200, ("Content-Type", "application/json"), body=b"{"
    )
    ping(reader)
    assert [post.body for post in reader.posts()] == [b' {"a":1}\n', b"{"]
    assert [content.payload for _, content in reader.published] == ['{"a": 1}', '"{"']


def test_what_cannot_be_published_is_fetched_again_and_uses_up_no_try(reader):
    publish = reader.publish
    failing = [True]

    def fail(topic, content):
        if failing:
            raise QueueFull("full")
        return publish(topic, content)

    reader.hub._fetcher._publish = fail
    ping(reader)
    reader.pass_(600)
    assert 8 <= len(reader.gets(PAGE)) <= 11
    assert reader.told() == []
    failing.clear()
    reader.pass_(61)
    assert [post.body for post in reader.posts()] == [b"<feed/>"]


@pytest.mark.parametrize("call", ["keep", "end", "find"])
def test_while_the_store_refuses_a_verification_waits_and_nobody_is_bothered(house, call):
    refuses = [True]
    real = getattr(house.hub._records, call)

    def refuse(*args):
        if refuses:
            raise DeliveryStoreError("no")
        return real(*args)

    setattr(house.hub._records, call, refuse)
    house.subscribe()
    house.pass_(5)
    refuses.clear()
    house.pass_(5)
    assert len(house.subscriptions) == 1
    assert call != "keep" or len(house.gets()) == len(house.questions) == 1


def test_a_fault_of_ours_ends_a_verification_and_what_is_behind_it_goes_on(house, caplog):
    def fail(outgoing):
        raise KeyError("bug")

    house.subscribe(fail)
    house.subscribe(confirm)
    assert len(house.subscriptions) == 1
    assert len(house.hub.verifier) == 0
    assert "by our own fault" in caplog.text


def test_exits_know_a_subscription_by_its_one_topic_until_its_lease_ends(house):
    exits = Exits(house.store, house.worker)
    for endpoint in house.worker.endpoints.values():
        exits.wanting.change(None, endpoint)
    house.subscribe(hub_topic="http://there.example/*", hub_lease_seconds="60")

    def takers(topic, seconds=0):
        told = message(9, topic, time_ms=house.now_ms + seconds * 1000)
        return [delivery.url for delivery in exits.owed(told)[0]]

    assert takers("http://there.example/*") == [CALLBACK]
    assert takers("http://there.example/x") == []
    assert takers("http://there.example/*", 60) == []
    assert exits.keeps("http://there.example/*", False)
    house.subscribe(hub_mode="unsubscribe", hub_topic="http://there.example/*")
    assert not exits.keeps("http://there.example/*", False)
