"""Examples of the documentation, run as they stand there.

A block of code is an example if the line before it is `<!-- example: its name -->`. Addresses that stand for the
reader's own are replaced: the server, its token, and URLs of example.com and the like by what the test has.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hookbox.testing import DEADLINE

DOCS = Path(__file__).parents[2] / "docs"
SERVER = "http://127.0.0.1:8001"
BLOCK = re.compile(r"<!-- example: (?P<name>[^\n]+?) -->\n+```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
PROGRAMS = {"sh": ["sh", "-e"], "python": [sys.executable, "-W", "ignore"], "php": ["php"]}
ENDINGS = {"sh": ".sh", "python": ".py", "php": ".php"}


class Page:
    """A page of the documentation.

    Args:
        replace: what stands for something of the test's in the examples, and that.
    """

    def __init__(self, name, folder, **replace):
        found = BLOCK.finditer((DOCS / name).read_text())
        self.examples = {match["name"]: (match["language"], match["text"]) for match in found}
        self.folder = folder
        self.replace = replace

    def write(self, name, **replace):
        """The path of a file with an example, ready to run."""
        language, text = self.examples[name]
        for old, new in {**self.replace, **replace}.items():
            text = text.replace(old, str(new))
        path = self.folder / (re.sub(r"\W+", "-", name) + ENDINGS[language])
        path.write_text(text)
        return path

    def command(self, name, **replace):
        """What runs an example."""
        program = PROGRAMS[self.examples[name][0]]
        if shutil.which(program[0]) is None:
            pytest.skip(f"NOT TESTED: there is no {program[0]}")
        return [*program, str(self.write(name, **replace))]

    def run(self, name, **replace):
        """What an example prints; it has to end well."""
        done = subprocess.run(
            self.command(name, **replace),
            cwd=self.folder,
            env=os.environ | {"HOOKBOX_TOKEN": "test-token"},
            text=True,
            capture_output=True,
            timeout=3 * DEADLINE,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {done.stdout}\n{done.stderr}"
        return done.stdout
