"""A PostgreSQL of the tests' own: a cluster in a directory of its own, reached by a socket only, forgotten at the end."""

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

PLACES = (
    "/usr/local/bin",
    *(str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
)
QUICK = "-c listen_addresses='' -c fsync=off -c full_page_writes=off -c shared_buffers=16MB -c max_connections=40 -c autovacuum=off"


def missing():
    """What is missing for it; empty for nothing."""
    absent = [name for name in ("initdb", "pg_ctl") if not _program(name)]
    if os.getuid() == 0:
        absent += [] if shutil.which("setpriv") else ["setpriv"]
        absent += [] if _user() else ["a user `postgres`, for PostgreSQL does not run as root"]
    try:
        import psycopg  # noqa: F401
    except ImportError:
        absent.append("psycopg")
    return ", ".join(absent)


@contextmanager
def cluster():
    """A running cluster; gives the directory of its socket, which is what Django takes for a host."""
    with tempfile.TemporaryDirectory(prefix="hookbox-pg-") as place:
        if os.getuid() == 0:
            os.chown(place, _user().pw_uid, _user().pw_gid)
        data = f"{place}/data"
        _run(
            place,
            "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        )
        started = (
            "pg_ctl",
            "-D",
            data,
            "-w",
            "-t",
            "30",
            "-l",
            f"{place}/log",
            "-o",
            f"{QUICK} -k {place}",
            "start",
        )
        try:
            _run(place, *started)
            yield place
        finally:
            _run(place, "pg_ctl", "-D", data, "-m", "immediate", "stop", check=False)


def _run(place, name, *arguments, check=True):
    as_user = []
    if os.getuid() == 0:
        user = _user()
        as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    # its output goes to a file: the server would keep a pipe open
    with open(f"{place}/{name}.out", "w+") as output:
        command = [*as_user, _program(name), *arguments]
        done = subprocess.run(command, stdout=output, stderr=output, cwd=place, check=False, timeout=60)
        output.seek(0)
        if check and done.returncode:
            raise RuntimeError(f"{name} failed:\n{output.read()}")


def _program(name):
    return shutil.which(name, path=os.pathsep.join((*PLACES, os.environ.get("PATH", ""))))


def _user():
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None
