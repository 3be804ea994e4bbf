"""One sentence on each option of a channel, as the manual has them in its table."""

from __future__ import annotations

from typing import Final

ABOUT_OPTIONS: Final = {
    "reflective": "A publication also goes back to the connection that made it.",
    "history_size": "Publications and presence events that a new subscriber is shown.",
    "history_duration": "Seconds that one of them is kept; 0 means no limit.",
    "history_publish_only": "Keep only publications in the history.",
    "moderated": "Ask the application about every action.",
    "moderated_publish": "Ask about publishing, even if the channel is not moderated.",
    "moderated_subscribe": "Ask about subscribing, even if the channel is not moderated.",
    "moderated_unsubscribe": "Ask about unsubscribing, even if the channel is not moderated.",
    "presenceful": "Subscribers see who else is there.",
    "presence_in_publish": "Publications carry the list of users while there are no more; 0: never.",
    "server_presenceful": "The state tells of the users in server_user_presence whether they are online.",
    "server_user_presence": "The users of whom the state tells that.",
    "anonymous": "Publications bear no user name, and neither does the webhook `publish`.",
    "polling": "Hookbox fetches a URL and publishes what it says.",
    "recovery_size": "Publications kept for subscribers that were cut off.",
    "recovery_duration": "Seconds that they are kept; 0 means no limit.",
    "durable": "A publication is on disk before anybody sees it or its publisher is told.",
}
