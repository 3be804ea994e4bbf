"""What Hookbox asks us. Each answer is a plain method on plain models; the user is that of the session.

Raising Deny says no, and its text is shown to the user. What a method returns goes with the yes.
"""

from hookbox.contrib.django import Deny, register_channel_handler

from .models import RECENT, Message, Room
from .moderation import moderate

NEWS = {"rooms", "announcements"}  # channels that hooks.py publishes on, and nobody else


@register_channel_handler
class Chat:
    def connect(self, user):
        if not user.is_authenticated:
            raise Deny("Please log in.")

    def create(self, user, channel):
        """Say what a channel is like when its first user comes; a room begins with what was said before."""
        if channel in NEWS:
            return {}
        history = [["PUBLISH", {"payload": each.as_payload()}] for each in room_of(user, channel).recent()]
        keep = {"history_size": RECENT, "history_publish_only": True}
        return {"presenceful": True, "set_history": history, **keep}

    def subscribe(self, user, channel):
        if channel not in NEWS:
            room_of(user, channel)

    def publish(self, user, channel, data):
        """Moderate a message and keep it; what we return is what everybody sees."""
        message = Message.objects.create(room=room_of(user, channel), author=user, text=moderate(data))
        return {"override_payload": message.as_payload()}

    def message(self, user, recipient, payload):
        raise Deny("There are no private messages here.")


def room_of(user, channel):
    """The room, if this user may be there."""
    if not user.is_authenticated:
        raise Deny("Please log in.")
    kind, _, slug = channel.partition(":")
    found = Room.objects.open_to(user).filter(slug=slug).first() if kind == "room" else None
    if found is None:
        raise Deny("There is no such room, or you are not one of its members.")
    return found
