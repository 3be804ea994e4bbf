"""The reconnect storm, with as many clients as fit into the suite; `make storm` cuts 5,000."""

import pytest
from storm import Publisher, Storm, check, long_cut, short_cut

CLIENTS = 200
PATIENCE = 40


@pytest.fixture
def gathered(start):
    """A server whose users may be gone for two seconds, and its clients."""
    server = start(leave_grace=2, breaker_longest_pause=2)
    server.app.allow("create_channel", history_size=0, recovery_size=1000, recovery_duration=600)
    storm = Storm(server.port)
    storm.gather(CLIENTS, PATIENCE)
    publisher = Publisher(server, 10)
    yield storm, server
    publisher.stop()
    storm.end()


def test_F17_everybody_who_is_cut_at_once_is_back_and_missed_nothing(gathered):
    storm, server = gathered
    check(short_cut(storm, server.app, PATIENCE), nobody_asked=True)
    server.app.up()
    outcome = long_cut(storm, server.app, away=2.5, down=2, answer_seconds=0.02, patience=PATIENCE)
    check(outcome, nobody_asked=False)
    assert outcome.asked >= 2 * CLIENTS, "each was asked about, and about its channel"
