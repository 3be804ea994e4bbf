"""The page about pages: its examples run, and what it names is there."""

import re
from pathlib import Path

import pytest
from django.template.loader import get_template
from django.urls import URLResolver, reverse

from hookbox.contrib.django import conf, debugging, listener_urls
from hookbox.contrib.django.registry import hooks

PAGE = (Path(__file__).parents[2] / "docs" / "listener-pages.md").read_text()
URLS, ORDERS = re.findall(r"```python\n(.*?)```", PAGE, re.S)


def test_the_urls_of_the_example_are_the_pages():
    made = {}
    exec(URLS, made)
    (pages,) = made["urlpatterns"]
    assert isinstance(pages, URLResolver)
    assert pages.url_patterns == listener_urls.urlpatterns


def test_every_page_has_its_row():
    for pattern in listener_urls.urlpatterns:
        assert f"`durian:{pattern.name}`" in PAGE
        path = str(pattern.pattern).replace("<uuid:uuid>", "<uuid>")
        assert not path or f"`{path}" in PAGE


@pytest.mark.django_db
def test_the_example_asks_for_more_than_the_address(client, user_with, register):
    before = hooks.get_all()
    exec(ORDERS, {})
    try:
        client.force_login(user_with("ann", "add"))
        text = client.get(reverse("durian:create"), {"type": "order.shipped"}).content.decode()
    finally:
        for name in hooks.get_all().keys() - before.keys():
            hooks.unregister(name)
    assert 'name="shop"' in text
    assert 'name="country_cond"' in text


def test_the_templates_and_blocks_are_there():
    named = [
        *re.findall(
            r"`((?:hookbox/listeners/)?(?:base|list|select|create|edit|delete|debug|field)\.html)`", PAGE
        )
    ]
    assert len({name.rpartition("/")[2] for name in named}) == 8
    for name in named:
        get_template(f"hookbox/listeners/{name.rpartition('/')[2]}")
    blocks = re.findall(
        r"`(\w+)`", PAGE.split("which has blocks")[1].split("\n\n")[0].split("The stylesheet")[0]
    )
    source = get_template("hookbox/listeners/base.html").template.source
    assert blocks
    for block in blocks:
        assert f"{{% block {block} %}}" in source


@pytest.mark.django_db
def test_a_project_can_put_its_own_template_in_front(client, user_with, settings, tmp_path):
    (source,) = re.findall(r"```html\n(.*?)```", PAGE, re.S)
    (tmp_path / "hookbox" / "listeners").mkdir(parents=True)
    (tmp_path / "hookbox" / "listeners" / "base.html").write_text(source)
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    client.force_login(user_with("ann", "view"))
    text = client.get(reverse("durian:list")).content.decode()
    assert "hookbox/listeners.css" in text
    assert "brand.css" in text
    assert "<h1>Listeners</h1>" in text


def test_the_numbers_are_right(settings):
    assert f"last {debugging.KEPT} requests" in PAGE
    assert f"({debugging.SLOWEST:g} at most)" in PAGE
    settings.DEBUG = True
    assert conf.debug_view()
