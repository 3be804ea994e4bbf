"""docs/django-reference.md names everything there is, and its examples work."""

import re
from pathlib import Path

import pytest
from django.test import Client
from django.urls import get_resolver

import hookbox.contrib.django as package
from hookbox.contrib.django import checks, conf, signals
from hookbox.contrib.django.callbacks import isolated_callbacks
from hookbox.testing import Receiver, Reply

PAGE = (Path(__file__).parents[2] / "docs" / "django-reference.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.S)


def test_it_names_whatever_is_public():
    originals = [name for name in package.__all__ if not (name[0] == "a" and name[1:] in package.__all__)]
    assert [name for name in originals if not re.search(rf"\b{name}\b", PAGE)] == []


def test_it_names_the_settings():
    server_too = re.compile(r"HOOKBOX_(EGRESS|HTTPS_ONLY)")
    names = [item.name for item in vars(conf).values() if isinstance(item, conf.Setting)]
    assert [name for name in names if f"`{name}`" not in PAGE and not server_too.match(name)] == []


def test_it_names_the_urls_and_the_checks():
    names = [
        name for name in get_resolver().reverse_dict if isinstance(name, str) and name.startswith("hookbox_")
    ]
    assert len(names) >= 11
    assert [name for name in names if f"`{name}`" not in PAGE] == []
    source = Path(checks.__file__).read_text()
    assert [check for check in re.findall(r'id="(hookbox\.\w+)"', source) if f"`{check}`" not in PAGE] == []


def test_its_links_lead_somewhere():
    docs = Path(__file__).parents[2] / "docs"
    for file, anchor in re.findall(r"\]\(([\w-]+\.md)?(?:#([\w-]+))?\)", PAGE):
        text = (docs / file).read_text() if file else PAGE
        anchors = {
            re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-")
            for h in re.findall(r"^#+ (.*)", text, re.M)
        }
        assert not anchor or anchor in anchors, (file, anchor)


@pytest.mark.django_db
def test_its_examples_work(settings, capsys):
    with isolated_callbacks(), Receiver() as standin:
        settings.HOOKBOX_URL = standin.url
        standin.answer(
            lambda got: (
                Reply({"message_id": "msg_1"}, status=202) if got.target == "/dispatch" else Reply([True, {}])
            )
        )
        names = {}
        for example in EXAMPLES:
            exec(compile(example, "django-reference.md", "exec"), names)
        try:
            assert {got.target for got in standin.got} == {"/web/create_channel", "/web/publish", "/dispatch"}
            assert ask("create_channel", channel_name="room:a") == [
                True,
                {"history_size": 20, "presenceful": True},
            ]
            assert ask("create_channel", channel_name="a")[0] is False
            assert ask("subscribe", channel_name="room:staff")[1]["error"] == "This room is for staff."
            assert ask("subscribe", channel_name="room:night")[1]["error"] == "Not at this hour."
            assert ask("subscribe", channel_name="room:a")[1]["error"] == "denied"
            long = '{"text": "%s"}' % ("x" * 501)
            assert ask("publish", channel_name="room:a", payload=long)[1]["error"] == "That is too long."
            assert "publish" in capsys.readouterr().out
        finally:
            signals.subscribe.disconnect(names["only_in_the_daytime"])


def ask(action, **form):
    return Client().post(f"/hookbox/{action}", form).json()
