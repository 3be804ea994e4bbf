"""Make the cases of Autobahn|Testsuite, which are Python 2 code, importable by this Python.

python port.py TARGET

Reads the autobahntestsuite that is installed beside this Python, and writes its package `case` into the
directory TARGET. Needs lib2to3, so Python 3.12 or older. In the result a `str` stands for bytes, one
character for each, as the cases mix both; whoever runs them encodes and decodes as Latin-1.
"""

import importlib.util
import re
import shutil
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore", DeprecationWarning)
from lib2to3 import refactor  # noqa: E402

LEFT_OUT = "case9_9_1"
"""Endless by design, not among the cases that the suite itself runs, and of old Zope syntax."""

FILES = """
from pathlib import Path
import importlib.util

_HOME = Path(importlib.util.find_spec("autobahntestsuite").origin).parent


def resource_filename(package, path):
    return str(_HOME / path)
"""
"""Instead of the `pkg_resources` that newer setuptools have no more: where the test data lie."""


def main(target):
    source = Path(importlib.util.find_spec("autobahntestsuite").origin).parent
    shutil.rmtree(target, ignore_errors=True)
    cases = target / "case"
    cases.mkdir(parents=True)
    shutil.copytree(
        source / "case", cases, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.pyc", "__pycache__")
    )
    tool = refactor.RefactoringTool(refactor.get_fixers_from_package("lib2to3.fixes"))
    for path in sorted(cases.glob("*.py")):
        if path.stem == LEFT_OUT:
            path.unlink()
            continue
        path.write_text(ported(path, tool), encoding="utf-8")
    (target / "resource_files.py").write_text(FILES)
    print(f"ported {len(list(cases.glob('*.py')))} files to {cases}")


def ported(path, tool):
    """One module's text for Python 3."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(rf"^from {LEFT_OUT} import .*$", "", text, flags=re.MULTILINE)
    text = text.replace("(object, Case, )", "(Case, )")  # no order of bases exists for that any more
    text = text.replace(".tostring()", ".tobytes().decode('latin-1')")
    text = text.replace("len(self.payload) / self.p", "len(self.payload) // self.p")
    text = text.replace("pkg_resources", "resource_files")
    text = str(tool.refactor_string(text + "\n", str(path)))
    # What was bytes in a file of UTF-8 becomes a character for each of these bytes.
    return re.sub(
        r"[^\x00-\x7f]", lambda found: "".join(f"\\x{byte:02x}" for byte in found[0].encode()), text
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
