"""Faults from within: run in the server's process by `Watched.inside`, where they can be had no other way."""

import logging
import os
import socket
import time

import gevent
from gevent import monkey

from hookbox.clock import SystemClock
from hookbox.commands import channels, road, subscribe
from hookbox.protocol import json_text
from hookbox.transports.comet_outbox import CometOutbox
from hookbox.transports.socket_outbox import SocketOutbox
from hookbox.webhooks import resolve

ask_system = monkey.get_original("socket", "getaddrinfo")
hanging = monkey.get_original("_thread", "allocate_lock")()
wall = time.time
offset = 0.0


def names_hang():
    """Have names that begin with `hangs` not be found until `names_answer`."""

    def lookup(host, *args, **kwargs):
        if str(host).startswith("hangs"):
            with hanging:
                raise socket.gaierror("it took its time")
        return ask_system(host, *args, **kwargs)

    hanging.acquire()
    monkey.saved["socket"]["getaddrinfo"] = lookup
    resolve.IDLE_THREAD = 1  # so that nobody has to wait for them in the end


def names_answer():
    """Let those be told."""
    hanging.release()


def step_wall(seconds):
    """Step the wall clock of this process."""
    global offset
    offset += seconds
    time.time = lambda: wall() + offset
    SystemClock.now = staticmethod(time.time)


def fail_in_handler(payload):
    """Have a MESSAGE with this payload meet a bug."""
    handle = road.message

    def message(site, cause, user, name, given):
        if given == payload:
            raise RuntimeError("a bug in a handler")
        handle(site, cause, user, name, given)

    road.message = message


def fail_in_encoding(text):
    """Have this text meet an error when it is written as JSON, as a lone surrogate would."""
    encode = json_text._encode

    def failing(value):
        if value == text:
            "\ud800".encode()
        return encode(value)

    json_text._encode = failing


def fail_in_flush(name):
    """Have the flusher meet a bug at that user's connections."""
    _fail_in_flush(SocketOutbox, lambda outbox: outbox._owner, name)
    _fail_in_flush(CometOutbox, lambda outbox: outbox._on_news.__self__, name)


def _fail_in_flush(outbox, owner_of, name):
    flush = outbox.flush

    def failing(self):
        user = owner_of(self).road.connection.user
        if user is not None and user.name == name:
            raise RuntimeError("a bug in the flusher")
        flush(self)

    outbox.flush = failing


def while_flushing(name, what):
    """When that user's first connection is flushed next: its second one goes, or the whole subscription, or all."""
    flush = SocketOutbox.flush
    done = []

    def interrupted(self):
        connection = self._owner.road.connection
        user, site = connection.user, self._owner.road._site
        if not done and user is not None and user.name == name and user.connections[0] is connection:
            done.append(what)
            channel = site.hub.channels["lobby"]
            if what == "cut":
                user.connections[1].transport.lost()
                user.connections[1].transport.road.gone()
            elif what == "unsubscribe":
                subscribe.end(site, user, channel)
            else:
                channels.close(site, channel)
        flush(self)

    SocketOutbox.flush = interrupted


class StandardError:
    """Where log lines go; may get stuck."""

    def __init__(self):
        self.real = self.reading = None

    def get_stuck(self):
        """Be a pipe that nobody reads, and that is full."""
        self.real = os.dup(2)
        self.reading, writing = os.pipe()
        os.set_blocking(writing, False)
        try:
            while os.write(writing, b"." * 4096):
                pass
        except BlockingIOError:
            pass
        os.set_blocking(writing, True)
        os.dup2(writing, 2)
        os.close(writing)

    def come_loose(self):
        """Be what it was before; who waits at the pipe learns that it is gone."""
        os.dup2(self.real, 2)
        os.close(self.real)
        os.close(self.reading)


standard_error = StandardError()


def log_lines(logger, count):
    """Log so many lines."""
    for number in range(count):
        logging.getLogger(logger).info("line %d", number)
        if number % 100 == 0:
            gevent.sleep(1e-6)  # it is the target that is to be slow, not the server
