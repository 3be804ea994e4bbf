"""Log lines are safe, short and free of secrets, and no target makes the server wait."""

import json
import logging
import os
import sys
import threading
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookbox.log import ACCESS, Logs, Outlet, escape
from hookbox.log_lines import LINE_LIMIT, JsonFormatter, LineFormatter, Mask
from hookbox.settings import Settings

FORMATTERS = pytest.mark.parametrize("formatter", [LineFormatter, JsonFormatter])
HOSTILE = ["a\r\nb", "\x1b[31m", "\u2028", "\u2029", "\u202e", "\u2066", "\u200f", "\ud800", "\x00", "\x85", "\x9b", "\ufeff"]
NO_SECRETS = Mask(())


def record(message, *args, exc_info=None, level=logging.INFO, **extra):
    made = logging.LogRecord("hookbox.test", level, "file.py", 7, message, args, exc_info)
    made.__dict__.update(extra)
    return made


def error(message):
    try:
        raise ValueError(message)
    except ValueError:
        return sys.exc_info()


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain", "plain"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("\u202eabc\u2066", r"\u202eabc\u2066"),
        ("\ud800", r"\ud800"),
        ("\x85\x9b\x7f\x00", r"\x85\x9b\x7f\x00"),
        ("\U000e0041", r"\U000e0041"),
        ("grüße, 你好, 👋", "grüße, 你好, 👋"),
        ("C:\\new", "C:\\new"),
    ],
    ids=ascii,
)
def test_what_could_forge_or_garble_a_line_is_escaped_A14(text, safe):
    assert escape(text) == safe


@given(st.text(st.characters(exclude_categories=())), st.integers(8, 100))
def test_any_text_becomes_one_short_line_and_escaping_it_again_changes_nothing_A14(text, limit):
    safe = escape(text, limit)
    assert len(safe.encode()) <= limit
    assert len(safe.splitlines()) <= 1
    assert escape(safe, limit) == safe


def test_text_over_the_limit_is_cut_visibly_A14():
    assert escape("x" * 5000) == "x" * (LINE_LIMIT - 3) + "..."
    assert escape("é" * 5000).endswith("é...")


@FORMATTERS
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_one_record_is_one_line_A14(formatter, text):
    line = formatter(NO_SECRETS).format(record("path %s and agent %s", text, text * 500))
    assert len(line.splitlines()) == 1
    assert len(line.encode()) <= LINE_LIMIT
    assert text not in line


@FORMATTERS
@pytest.mark.parametrize("text", ['"' * 5000, "\\" * 5000, "é" * 5000, "\x1b" * 5000], ids=["quotes", "backslashes", "accents", "escapes"])
def test_what_grows_when_it_is_written_still_fits_A14(formatter, text):
    assert len(formatter(NO_SECRETS).format(record("%s", text)).encode()) <= LINE_LIMIT


def test_a_traceback_is_indented_below_its_plain_line_A14():
    first, *rest = LineFormatter(NO_SECRETS).format(record("bad", exc_info=error("evil\n2026 INFO forged\x1b"))).split("\n")
    assert first.endswith("INFO hookbox.test: bad")
    assert rest[-2:] == ["    ValueError: evil", r"    2026 INFO forged\x1b"]
    assert all(line.startswith("    ") for line in rest)


def test_a_traceback_is_inside_of_its_json_line_A14():
    entry = json.loads(JsonFormatter(NO_SECRETS).format(record("bad", exc_info=error("evil\x1b"))))
    assert entry["traceback"].endswith(r"ValueError: evil\x1b")


def test_json_lines_have_the_promised_keys_and_the_fields_of_the_record():
    made = record("GET %s", "/x", fields={"status": 200, "path": "/x\n", "message": "not this"}, created=0.25, msecs=250)
    assert json.loads(JsonFormatter(NO_SECRETS).format(made)) == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "INFO",
        "logger": "hookbox.test",
        "message": "GET /x",
        "status": 200,
        "path": r"/x\n",
    }


@FORMATTERS
def test_secrets_are_masked_wherever_somebody_put_them_A13(formatter):
    mask = Mask(Settings(webhook_secret="canary ü/1", admin_password="canary2").secrets)
    made = record("%s canary+%%C3%%BC%%2F1", "canary ü/1", exc_info=error("canary2"), fields={"x": "canary%20%C3%BC%2F1"})
    line = formatter(mask).format(made)
    assert "canary" not in line
    assert "***" in line


def test_without_secrets_nothing_is_masked():
    assert Mask(("", "abc"))("abc") == "abc"


# targets


@pytest.fixture
def outlet():
    made = []

    def make(path, **more):
        made.append(Outlet(str(path), **more))
        made[-1].setFormatter(LineFormatter(NO_SECRETS))
        return made[-1]

    yield make
    for each in made:
        each.close()


def messages(path):
    return [line.rpartition(": ")[2] for line in path.read_text().splitlines()]


def test_lines_arrive_in_order_before_close_returns(outlet, tmp_path):
    file = outlet(tmp_path / "log")
    for number in range(2000):
        file.handle(record("%d", number))
    file.close()
    assert messages(tmp_path / "log") == [str(number) for number in range(2000)]
    assert file.dropped == 0


def test_a_second_close_is_no_error(outlet, tmp_path):
    file = outlet(tmp_path / "log")
    file.close()
    file.close()


def test_a_log_file_is_appended_to_and_not_for_everybody_to_read(outlet, tmp_path):
    (tmp_path / "log").write_text("before\n")
    file = outlet(tmp_path / "log")
    file.handle(record("after"))
    file.close()
    assert messages(tmp_path / "log") == ["before", "after"]
    other = outlet(tmp_path / "new")
    other.close()
    assert (tmp_path / "new").stat().st_mode & 0o007 == 0


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(OSError):
        Outlet(str(tmp_path / "nowhere" / "log"))


def test_a_fifo_that_nobody_reads_stops_nobody_and_gets_the_lines_later_F35(outlet, tmp_path):
    os.mkfifo(tmp_path / "log")
    fifo = outlet(tmp_path / "log")
    for number in range(20000):
        fifo.handle(record("%d", number))
    assert fifo.dropped >= 14000
    lines = []
    reader = threading.Thread(target=lambda: lines.extend((tmp_path / "log").read_text().splitlines()))
    reader.start()
    fifo.close(timeout=10)
    reader.join(10)
    assert lines[0].endswith("INFO hookbox.test: 0")
    (notice,) = [line for line in lines if "log lines were dropped" in line]
    assert f"{fifo.dropped} log lines" in notice
    assert len(lines) == 20000 - fifo.dropped + 1


def test_a_pipe_that_is_full_stops_nobody_F35(outlet, tmp_path):
    os.mkfifo(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    pipe = outlet(tmp_path / "log")
    for number in range(20000):
        pipe.handle(record("%d", number))
    assert pipe.dropped > 0
    pipe.close(timeout=0.01)  # gives up, too
    os.close(reader)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_costs_lines_and_nothing_else_F35(outlet):
    disk = outlet("/dev/full")
    for _ in range(10):
        disk.handle(record("x"))
    disk.close()
    assert disk.dropped == 10


def test_a_file_that_was_moved_away_is_opened_anew(outlet, tmp_path):
    file = outlet(tmp_path / "log")
    file.handle(record("before"))
    (tmp_path / "log").rename(tmp_path / "log.1")
    file.reopen()
    file.handle(record("after"))
    file.close()
    assert messages(tmp_path / "log")[-1] == "after"
    assert "after" not in messages(tmp_path / "log.1")


def test_a_record_with_wrong_arguments_is_written_anyway(outlet, tmp_path):
    file = outlet(tmp_path / "log")
    file.handle(record("%s %s", 1))
    file.close()
    assert "%s %s [arguments do not fit" in (tmp_path / "log").read_text()


# the process's logging


@pytest.fixture
def logs():
    names = (None, "hookbox", ACCESS)
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    made = []

    def make(**settings):
        made.append(Logs(Settings(**settings)))
        return made[-1]

    yield make
    for each in made:
        each.close()
    logging.captureWarnings(False)
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers, logger.propagate = handlers, propagate


def test_the_error_file_gets_warnings_and_errors_only(logs, tmp_path):
    made = logs(log_file_errors=str(tmp_path / "errors"))
    logger = logging.getLogger("hookbox.test")
    logger.info("info")
    logger.warning("warning")
    logger.error("error")
    made.close()
    assert messages(tmp_path / "errors") == ["warning", "error"]


def test_the_access_file_gets_requests_and_nothing_else(logs, tmp_path, capfd):
    made = logs(log_file_access=str(tmp_path / "access"))
    logging.getLogger(ACCESS).info("GET /")
    logging.getLogger("hookbox.test").warning("warning")
    made.close()
    assert messages(tmp_path / "access") == ["GET /"]
    assert "GET /" not in capfd.readouterr().err


def test_without_an_access_file_requests_are_not_logged_but_for_debugging(logs, capfd):
    logs().close()
    assert not logging.getLogger(ACCESS).isEnabledFor(logging.INFO)
    made = logs(debug=True)
    logging.getLogger(ACCESS).info("GET /")
    made.close()
    assert "GET /" in capfd.readouterr().err


def test_debugging_does_not_let_libraries_talk_A13(logs, capfd):
    made = logs(log_level="DEBUG")
    logging.getLogger("urllib3.connectionpool").debug("GET /?secret=canary")
    logging.getLogger("hookbox.test").debug("ours")
    made.close()
    err = capfd.readouterr().err
    assert "ours" in err
    assert "canary" not in err


def test_other_settings_are_taken_over_while_running(logs, tmp_path):
    made = logs(log_file_errors=str(tmp_path / "one"))
    logger = logging.getLogger("hookbox.test")
    logger.error("first")
    made.reconfigure(Settings(log_file_errors=str(tmp_path / "two"), log_level="CRITICAL", webhook_secret="canary"))
    logger.error("unheard")
    logger.critical("second canary")
    made.close()
    assert messages(tmp_path / "one") == ["first"]
    assert messages(tmp_path / "two") == ["second ***"]


def test_settings_that_cannot_be_taken_over_change_nothing(logs, tmp_path):
    made = logs(log_file_errors=str(tmp_path / "one"))
    with pytest.raises(OSError):
        made.reconfigure(Settings(log_file_errors=str(tmp_path / "nowhere" / "two")))
    logging.getLogger("hookbox.test").error("still")
    made.close()
    assert messages(tmp_path / "one") == ["still"]


def test_warnings_of_python_are_log_lines(logs, capfd):
    made = logs()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old\nthing", DeprecationWarning, stacklevel=1)
    made.close()
    assert r"old\nthing" in capfd.readouterr().err
