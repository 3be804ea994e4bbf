from django.conf import settings
from django.db import models
from django.urls import reverse

RECENT = 50  # messages shown to somebody who comes into a room


class RoomQuerySet(models.QuerySet):
    def open_to(self, user):
        """The rooms that this user may enter."""
        mine = models.Q(pk__in=self.model.members.through.objects.filter(user=user.pk).values("room"))
        return self.filter(models.Q(is_private=False) | mine)


class Room(models.Model):
    name = models.CharField(max_length=40, unique=True)
    slug = models.SlugField(unique=True, help_text="Its place in addresses, and its channel: room:…")
    topic = models.CharField(max_length=120, blank=True)
    is_private = models.BooleanField("private", default=False, help_text="Only for its members")
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, help_text="Of a private room")

    objects = RoomQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name

    def get_absolute_url(self):
        return reverse("room", args=[self.slug])

    @property
    def channel(self):
        return f"room:{self.slug}"

    def recent(self):
        """The last messages, the oldest first."""
        return self.messages.select_related("author").order_by("-pk")[:RECENT][::-1]


class Message(models.Model):
    room = models.ForeignKey(Room, models.CASCADE, related_name="messages")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    text = models.TextField()
    sent_at = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return f"{self.author}: {self.text[:40]}"

    def as_payload(self):
        """What the pages get."""
        author = self.author.get_username()
        return {"id": self.pk, "author": author, "text": self.text, "sent_at": self.sent_at}


class Rule(models.Model):
    """What moderators do about a word; they write these in the admin, and the next message obeys."""

    class Action(models.TextChoices):
        HIDE = "hide", "Replace it by stars"
        REFUSE = "refuse", "Refuse the message"

    word = models.CharField(max_length=40, unique=True, help_text="A word or a phrase, in any case")
    action = models.CharField(max_length=10, choices=Action.choices, default=Action.HIDE)
    reason = models.CharField(max_length=120, blank=True, help_text="The author reads it when refused")

    class Meta:
        ordering = ["word"]

    def __str__(self):
        return self.word


class Announcement(models.Model):
    """Written in the admin, and shown on every open page at once."""

    text = models.CharField(max_length=200)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self):
        return self.text
