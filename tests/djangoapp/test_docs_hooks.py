"""The pages about hooks: their examples run, and what they name is there."""

import ast
import json
import re
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from hookbox.contrib.django import hook_checks, match
from hookbox.contrib.django.event import Hook, ModelHook
from hookbox.contrib.django.match import Any, Endswith, Is, Like, from_json
from hookbox.contrib.django.models import Listener
from hookbox.contrib.django.registry import hooks
from hookbox.contrib.django.test import capture_hooks

DOCS = Path(__file__).parents[2] / "docs"
HOOKS, MOVING = ((DOCS / name).read_text() for name in ("hooks.md", "moving-django.md"))
BLOCKS = [block for page in (HOOKS, MOVING) for block in re.findall(r"```python\n(.*?)```", page, re.S)]


def block_with(text):
    (found,) = [block for block in BLOCKS if text in block]
    return found


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0][:40])
def test_examples_are_python_and_import_what_there_is(block):
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("hookbox."):
            assert find_spec(node.module), node.module
            for each in node.names:
                assert hasattr(import_module(node.module), each.name), f"{node.module} has no {each.name}"


@pytest.fixture
def people(monkeypatch):
    """The app of the examples, with the model of the tests' project."""
    from project.library.models import Person

    before = hooks.get_all()
    code = block_with("people/hooks.py").replace("people.Person", "library.Person")
    made = {"__name__": "people.hooks"}
    exec(code, made)
    for name, names in (("people", {}), ("people.hooks", made), ("people.models", {"Person": Person})):
        module = ModuleType(name)
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, name, module)
    yield Person
    for name in hooks.get_all().keys() - before.keys():
        hooks.unregister(name)


@pytest.mark.django_db
def test_the_first_example_does_what_it_says(people):
    exec(block_with("when anybody is"), {})
    with capture_hooks() as sent:
        people.objects.create(name="Joe", address="Milkyway", secret="x")
        people.objects.create(name="Simon")
    assert [len(each.urls) for each in sent] == [3, 1]
    assert sent[0].payload == json.loads(re.search(r'^\{"name".*\}$', HOOKS, re.M).group())


@pytest.mark.django_db
def test_the_examples_of_other_hooks_do_what_they_say(people):
    made = {}
    Hook("order.paid").add_listener("https://x.example/")
    Hook("book.borrowed").add_listener("https://x.example/")
    with capture_hooks() as sent:
        exec(block_with("def pay(order)"), made)
        made["pay"](SimpleNamespace(pk=7, total=12))
        exec(block_with("SignalHook"), {})
        exec(block_with("def test_joe_is_told"), made)
        made["test_joe_is_told"](None)
    assert [each.payload for each in sent] == [
        {"order": 7, "total": 12},
        {"title": "Ulysses", "reader": "ann"},
    ]


@pytest.mark.django_db
def test_the_example_of_conditions_is_one(people):
    exec(block_with("Endswith("), {})
    condition = {"name": match.Startswith("J"), "address": {"city": Endswith("burg")}, "created": True}
    assert Listener.objects.get().get_match() == condition


def test_every_option_and_every_check_has_its_line():
    for name in ModelHook.OPTIONS:
        assert f"`{name}`" in HOOKS, name
    for check in re.findall(r'id="(hookbox\.\w+)"', Path(hook_checks.__file__).read_text()):
        assert f"`{check}`" in HOOKS, check
    for name in match.able.BY_SIGN:
        assert name in HOOKS, name


def test_links_lead_somewhere():
    for page in (HOOKS, MOVING):
        for name in re.findall(r"\]\(([\w-]+\.md)", page):
            assert (DOCS / name).exists(), name


def test_old_listeners_are_exported_as_conditions_that_can_be_read(monkeypatch, tmp_path):
    row = SimpleNamespace(
        hook="person",
        url="https://where.joe/",
        match={"a": Endswith("x"), "b": {"c": Is(1)}, "d": Like("^x"), "e": Any(), "f": "plain"},
        config={"note": 1},
    )
    bare = SimpleNamespace(hook="person", url="https://where.joe/", match=None, config=None)
    old = ModuleType("durian.models")
    old.Listener = SimpleNamespace(objects=SimpleNamespace(all=lambda: [row, bare]))
    monkeypatch.setitem(sys.modules, "durian", ModuleType("durian"))
    monkeypatch.setitem(sys.modules, "durian.models", old)
    monkeypatch.chdir(tmp_path)
    exec(block_with("durian.models"), {})
    first, second = json.loads((tmp_path / "listeners.json").read_text())
    assert from_json(first["match"]) == row.match
    assert (first["hook"], first["url"], first["config"]) == ("person", "https://where.joe/", {"note": 1})
    assert (second["match"], second["config"]) == ({}, {})
