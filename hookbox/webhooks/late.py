"""The webhook client, made when the server already listens: what it stands on is a quarter of a start."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from hookbox.clock import Clock
from hookbox.core.watchers import Watchers
from hookbox.webhooks.asked import Asked
from hookbox.webhooks.gate import Allow, Question, Refuse

if TYPE_CHECKING:
    from hookbox.settings import Settings
    from hookbox.webhooks.client import WebhookClient


class LateClient:
    """A `Gate` that becomes a `WebhookClient` at the first question, or before.

    Args:
        settings: for the client.
        clock: for the client.
        watchers: are shown what became of each question.

    Raises:
        ConfigError: the callback settings do not make a URL. Those that may not are tried at once.
    """

    def __init__(self, settings: Settings, clock: Clock, watchers: Watchers[Asked] | None = None) -> None:
        self._watchers = watchers
        self._settings = settings
        self._clock = clock
        if settings.cb_single_url or not settings.cbhost.isascii():
            self.warm_up()

    @cached_property
    def client(self) -> WebhookClient:
        """The client; made here and now if need be, which takes a tenth of a second."""
        from hookbox.webhooks.client import WebhookClient

        return WebhookClient(self._settings, self._clock, watchers=self._watchers)

    @property
    def made(self) -> WebhookClient | None:
        """The client; None if nobody has needed it so far."""
        return vars(self).get("client")

    def warm_up(self) -> None:
        """Make the client, so that nobody has to wait for it."""
        _ = self.client

    def ask(self, question: Question) -> Allow | Refuse:
        """Put a question and wait for the verdict; see `WebhookClient.ask`."""
        return self.client.ask(question)

    def url(self, action: str) -> str:
        """Where a question with this action goes now."""
        return self.client.url(action)

    def reconfigure(self, settings: Settings) -> None:
        """Use other settings from the next question on; see `WebhookClient.reconfigure`."""
        self.client.reconfigure(settings)

    def stop(self, timeout: float) -> None:
        """Refuse new questions, let those under way finish; see `WebhookClient.stop`."""
        self.client.stop(timeout)

    def counts(self) -> dict[str, int]:
        """What has happened; see `WebhookClient.counts`."""
        return self.client.counts()
