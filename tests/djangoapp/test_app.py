"""The app as Django sees it."""

import subprocess
import sys

import django
import pytest
from django.apps import apps
from django.core.management import call_command


def test_its_label_is_hookbox():
    assert apps.get_app_config("hookbox").name == "hookbox.contrib.django"
    assert not [model for model in apps.get_models() if model._meta.app_label == "django"]


@pytest.mark.django_db
def test_its_migrations_are_complete(capsys):
    call_command("makemigrations", "hookbox", check=True, dry_run=True)
    assert "No changes detected" in capsys.readouterr().out


def test_its_public_names_need_no_configured_django_until_they_are_used():
    script = "import sys, hookbox.contrib.django as h; dir(h); assert 'django' not in sys.modules, 'django was imported'"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_tests_run_on_the_django_they_are_meant_to(pytestconfig):
    import os

    assert django.__version__.startswith(os.environ.get("HOOKBOX_TEST_DJANGO", ""))
