"""What is told when something is saved, wherever that happens: in the admin, in a shell, by a script.

Each of these also reaches every open page, by `topic`, and any URL that somebody registers as a listener.
"""

from django.db.models.signals import post_save

from hookbox.contrib.django.hook import ModelHook
from hookbox.contrib.django.registry import hooks

from .models import Announcement, Room


@hooks.register
class AnnouncementHook(ModelHook):
    name = "announcement"
    model = Announcement
    signal = post_save
    provides_args = ["id", "text"]
    topic = "announcements"


@hooks.register
class RoomHook(ModelHook):
    name = "room"
    model = Room
    signal = post_save
    provides_args = ["name", "slug", "topic", "is_private"]

    def topic(self, payload):
        return None if payload["is_private"] else "rooms"
