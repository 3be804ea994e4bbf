"""What a user installs: the wheel has everything, and starts where there is nothing else."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest


@pytest.fixture(scope="module")
def wheel(request, tmp_path_factory):
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("hookbox", "setup.py", "README.md", "LICENSE"):
        path = request.config.rootpath / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", target, source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(target.glob("*.whl"))


def test_the_wheel_has_the_modules_the_browser_client_and_the_types(wheel, request):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = request.config.rootpath / "hookbox"
    kinds = ("*.py", "*.js", "*.mjs", "*.d.ts", "*.d.mts", "*.html", "*.css", "*.svg", "py.typed")
    expected = {str(file.relative_to(package.parent)) for kind in kinds for file in package.rglob(kind)}
    assert "hookbox/js/hookbox.min.js" in expected
    assert expected <= names
    assert not any(name.startswith(("tests/", "examples/")) for name in names)


def test_the_wheel_offers_the_command(wheel):
    assert "hookbox = hookbox.__main__:main" in entry_points(wheel)


def test_pytest_finds_the_fixtures_of_what_is_installed(wheel, tmp_path):
    assert "[pytest11]" in entry_points(wheel)
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    (tmp_path / "test_it.py").write_text("def test_it(hookbox_app):\n    assert hookbox_app.asked == []\n")
    environ = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def entry_points(wheel):
    with zipfile.ZipFile(wheel) as content:
        (name,) = [name for name in content.namelist() if name.endswith("entry_points.txt")]
        return content.read(name).decode()
