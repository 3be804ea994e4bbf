"""Make the tool environment of `make autobahn`: Autobahn|Testsuite and a Python that can convert it.

python install.py DIRECTORY [PYTHON]

Takes the PYTHON given, or the first one found that has lib2to3. Says what to do when something is missing.
"""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PROBE = "import sys, venv, lib2to3.pgen2.driver; sys.exit(not (3, 11) <= sys.version_info < (3, 13))"
NO_PYTHON = """\
*** No Python fit to run Autobahn|Testsuite: its code is Python 2 and is converted by lib2to3, which Python
*** has up to 3.12, with venv. Install python3.11 or python3.12 (on Debian and Ubuntu also python3.11-venv,
*** python3-lib2to3), or say where one is: make autobahn AUTOBAHN_PYTHON=/path/to/python3.11"""
NO_PACKAGES = """\
*** Autobahn|Testsuite could not be installed; pip's reason stands above. It needs a package index once: look
*** at the network, or set PIP_INDEX_URL to a mirror that has what tests/autobahn/requirements.txt names."""
NOT_CONVERTED = "*** Autobahn|Testsuite is installed, but could not be converted; the reason stands above."


def main(home, python):
    python = next(filter(suits, [python] if python else ["python3.11", "python3.12", sys.executable]), None)
    if python is None:
        sys.exit(NO_PYTHON)
    try:
        print(f"Making {home}, which only `make autobahn` uses.", flush=True)
        run([python, "-m", "venv", "--clear", str(home)], NO_PYTHON)
        tool = [str(home / "bin/python")]
        wanted = ["--no-deps", "--requirement", str(HERE / "requirements.txt")]
        run([*tool, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted], NO_PACKAGES)
        run([*tool, str(HERE / "port.py"), str(home / "ported")], NOT_CONVERTED)
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise


def suits(python):
    """Whether a Python can convert code of Python 2 and make environments."""
    try:
        return not subprocess.run(
            [python, "-W", "ignore", "-c", PROBE], capture_output=True, check=False
        ).returncode
    except OSError:
        return False


def run(command, complaint):
    if subprocess.run(command, check=False).returncode:
        sys.exit(complaint)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
