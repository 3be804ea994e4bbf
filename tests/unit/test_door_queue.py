"""How many wait to be accepted, as the kernel tells."""

import socket
import sys

import pytest

from hookbox.settings import Settings
from hookbox.web.admission import Admission
from hookbox.web.http import HttpServer


@pytest.mark.skipif(sys.platform != "linux", reason="the length of the queue is told by Linux only")
def test_who_waits_at_the_door_is_counted():
    listener = socket.create_server(("127.0.0.1", 0), backlog=16)
    door = HttpServer(listener, print, settings=Settings(), admission=Admission(10, 0, 0, lambda: 0.0))
    assert door.queue == 0
    waiting = [socket.create_connection(listener.getsockname()) for _ in range(3)]
    assert door.queue == 3
    for client in waiting:
        client.close()
    listener.close()


def test_a_unix_socket_does_not_tell(tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    door = HttpServer(listener, print, settings=Settings(), admission=Admission(10, 0, 0, lambda: 0.0))
    assert door.queue == 0
    listener.close()
