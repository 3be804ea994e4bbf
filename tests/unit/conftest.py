"""What every unit test runs under."""

import logging

import pytest
from hypothesis import settings
from parts import House

settings.register_profile("unit", deadline=None, max_examples=50)  # the machine may be busy
settings.load_profile("unit")


@pytest.fixture
def complaints(caplog):
    """The warnings and errors logged during the test."""
    caplog.set_level(logging.WARNING, logger="hookbox")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture
def house():
    """A Hookbox without sockets, its clock in UTC."""
    return House(datetime_utc=True)
