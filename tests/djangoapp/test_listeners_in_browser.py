"""The listeners' pages as people use them: a real browser, by keyboard where that matters, under a strict policy."""

import re

import pytest
from django.core.cache import cache

from hookbox.contrib.django.debugging import caught
from hookbox.contrib.django.models import Listener

NARROW = {"width": 390, "height": 844}
WIDE = {"width": 1280, "height": 800}
WIDTHS = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"


@pytest.fixture
def site(live_server, settings, transactional_db, person_hook, order_hook):
    """The project, running; hooks are sent at once."""
    settings.HOOKBOX_DEBUG_VIEW = True
    settings.HOOKBOX_EGRESS = "internal"
    person_hook.async_ = order_hook.async_ = False
    cache.clear()
    yield live_server.url
    cache.clear()


@pytest.fixture
def open_as(site, browser, client):
    """`open_as(user, **options)` gives a page of somebody who is logged in; it must have no complaints."""
    contexts, complaints = [], []

    def open_as(user, **options):
        client.force_login(user)
        context = browser.new_context(**{"viewport": WIDE, **options})
        contexts.append(context)
        session = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": site}
        context.add_cookies([session])
        page = context.new_page()
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type == "error" else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert not complaints


def test_a_listener_from_the_first_click_to_the_last(open_as, site, user_with):
    from playwright.sync_api import expect

    page = open_as(user_with("ann", "view", "add", "change", "delete", is_staff=True))
    page.goto(f"{site}/durian/")
    expect(page.get_by_role("heading", name="Nobody is listening yet")).to_be_visible()
    page.get_by_role("link", name="New listener").click()
    page.get_by_role("link", name="A person has changed").click()

    page.get_by_label("Listener URL").fill("nowhere")
    page.get_by_role("button", name="Create listener").click()
    assert page.get_by_label("Listener URL").evaluate("field => field.validity.typeMismatch")
    page.get_by_label("Listener URL").fill(f"{site}/durian/debug/")
    page.get_by_label("Condition for Age").select_option("exact")
    page.get_by_label("Text to compare Age with").fill("old")
    page.get_by_role("button", name="Create listener").click()
    summary = page.get_by_role("alert")
    summary.get_by_role("link", name="Age").click()
    field = page.get_by_label("Text to compare Age with")
    expect(field).to_be_focused()
    expect(field).to_have_accessible_description(re.compile("must be an integer"))
    page.get_by_label("Condition for Age").select_option("anything")
    expect(field).not_to_be_visible()
    page.get_by_label("Condition for Name").select_option("starts with")
    page.get_by_label("Text to compare Name with").fill("J")
    page.get_by_role("button", name="Create listener").click()

    expect(page.get_by_role("status")).to_have_text("The listener has been created.")
    listener = Listener.objects.get()
    assert listener.match == {"name": {"$startswith": "J"}}
    secret = page.get_by_label("Signing secret", exact=True).and_(page.get_by_role("textbox"))
    expect(secret).to_have_value(listener.secret)
    expect(secret).to_be_focused()
    page.reload()
    expect(secret).to_have_count(0)
    expect(page.get_by_role("article", name="A person has changed")).to_contain_text("Name starts with J")

    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("Text to compare Name with")).to_have_value("J")
    page.get_by_label("Condition for Name").select_option("contains")
    page.get_by_label("Text to compare Name with").fill("oe")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("article")).to_contain_text("Name contains oe")

    page.get_by_role("button", name="Send test").click()
    expect(page.get_by_role("status")).to_contain_text("has got the test")
    assert [one.verdict for one in caught()] == ["fits"]
    page.get_by_role("link", name="Debug").click()
    expect(page.get_by_text("Signature fits")).to_be_visible()
    expect(page.get_by_text("person.test").first).to_be_visible()

    page.get_by_role("link", name="Listeners", exact=True).click()
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_have_text("The listener has been deleted.")
    assert not Listener.objects.exists()


def test_it_all_works_by_keyboard_and_without_scripts(open_as, site, user_with):
    from playwright.sync_api import expect

    page = open_as(user_with("ann", "view", "add"), java_script_enabled=False, viewport=NARROW)

    def press(*keys):
        for key in keys:
            page.keyboard.press(key)

    page.goto(f"{site}/durian/select/")
    press("Tab", "Enter")  # skip to the content
    press("Tab")
    expect(page.locator(".choices a").first).to_be_focused()
    page.get_by_role("link", name="A person has changed").focus()
    press("Enter")
    page.wait_for_url("**/create/?type=person")
    press("Tab", "Enter")
    press("Tab")
    page.keyboard.type("https://shop.example/hooks")
    press("Tab")
    page.keyboard.type("starts")
    press("Tab")
    page.keyboard.type("J")
    press("Enter")
    page.wait_for_url("**/durian/")
    listener = Listener.objects.get()
    assert (listener.url, listener.match) == ("https://shop.example/hooks", {"name": {"$startswith": "J"}})


def test_nothing_is_wider_than_the_page(open_as, site, user_with):
    ann = user_with("ann", "view", "add", "change", "delete", is_staff=True)
    long = "x" * 300
    listener = Listener.objects.create(
        hook="person",
        url=f"https://x.example/{long}",
        owner=ann,
        match={"name": long, long: 1},
        failures=1,
        last_status="unreachable",
    )
    page = open_as(ann)
    pages = [
        "",
        "select/",
        "create/?type=person",
        "debug/",
        f"{listener.uuid}/edit/",
        f"{listener.uuid}/delete/",
    ]
    for path in pages:
        page.goto(f"{site}/durian/{path}")
        for size in (WIDE, NARROW):
            page.set_viewport_size(size)
            shown, there = page.evaluate(WIDTHS)
            assert shown <= there, (path, size)
