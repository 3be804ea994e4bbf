"""Handing listening sockets from one server to the next: what is asked, what is answered, and what goes wrong."""

import errno
import os

import gevent
import pytest
from gevent import socket as gevent_socket

from hookbox.web import handover
from hookbox.web.handover import HELLO, Listening, Offer, address_of, address_wanted, find_predecessor
from hookbox.web.listen import listen

if handover.KIND is None:
    pytest.skip("NOT TESTED: --replace needs Linux", allow_module_level=True)


@pytest.fixture
def server():
    """A door, and what offers it."""
    door = listen("127.0.0.1", 0)
    taken = []
    offer = Offer({address_of(door): Listening(door, shared=True)}, gevent.spawn, lambda: taken.append(True))
    offer.door, offer.taken, offer.address = door, taken, address_of(door)
    offer.open()
    yield offer
    offer.close()
    door.close()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(handover, "ANSWER_SECONDS", 0.3)


def control(address):
    line = gevent_socket.socket(gevent_socket.AF_UNIX, handover.KIND)
    line.settimeout(5)
    line.connect(handover._control_name(address))
    return line


@pytest.mark.parametrize("interface", ["127.0.0.1", "localhost"])
def test_the_address_wanted_is_the_one_that_is_bound(interface):
    with listen(interface, 0) as door:
        assert address_wanted(interface, door.getsockname()[1]) == address_of(door)


def test_a_socket_file_has_one_address_however_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with listen("unix:door", 0) as door:
        assert address_wanted(f"unix:{tmp_path}/./door", 0) == address_of(door)


def test_any_free_port_is_nobody_s():
    assert address_wanted("127.0.0.1", 0) == ""


def test_the_successor_gets_the_very_socket_and_the_old_one_is_told_last(server):
    predecessor = find_predecessor(["127.0.0.1 1", server.address])
    assert predecessor.pid == os.getpid()
    listening = predecessor.take(server.address)
    assert address_of(listening.sock) == server.address
    assert listening.shared
    assert listening.sock.fileno() != server.door.fileno()
    assert not os.get_inheritable(listening.sock.fileno())
    assert not server.taken
    predecessor.dismiss()
    assert server.taken
    listening.sock.close()
    assert find_predecessor([server.address]) is None, "it is not offered twice"


def test_a_successor_that_gives_up_changes_nothing(server):
    predecessor = find_predecessor([server.address])
    predecessor.leave()
    predecessor.leave()
    again = find_predecessor([server.address])
    assert again.take(server.address).sock.close() is None
    assert again.take(server.address) is None
    assert not server.taken
    again.leave()


def test_one_successor_at_a_time(server):
    first = find_predecessor([server.address])
    with pytest.raises(OSError) as refused:
        find_predecessor([server.address])
    assert refused.value.errno == errno.EBUSY
    first.leave()
    find_predecessor([server.address]).leave()


@pytest.mark.parametrize("word", [b"hookbox take-over 2", b"", HELLO + b"x"])
def test_other_words_get_no_answer(server, word):
    with control(server.address) as line:
        line.send(word)
        assert line.recv(100) == b""
    find_predecessor([server.address]).leave()
    assert not server.taken


def test_nobody_there_is_nobody(server):
    server.close()
    assert find_predecessor([server.address]) is None


def test_a_process_of_another_user_is_neither_answered_nor_believed(server, monkeypatch):
    name = handover._control_name(server.address)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(handover, "_control_name", lambda address: name)
    assert find_predecessor([server.address]) is None


def test_a_name_that_is_taken_is_said_and_does_no_harm(server, caplog):
    second = Offer({server.address: Listening(server.door)}, gevent.spawn, lambda: None)
    second.open()
    second.close()
    assert "will not find this server" in caplog.text
