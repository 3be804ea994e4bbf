"""`manage.py demo`: the tables, and people, rooms and rules to try it with."""

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, CommandError, call_command

from rooms.models import Message, Room, Rule

PASSWORD = "demo"
PEOPLE = {"ada": True, "grace": False, "alan": False}  # name -> whether the admin pages are theirs


class Command(BaseCommand):
    help = "Make the tables, people, rooms and rules to try it with; what is there already stays as it is."

    def handle(self, *args, **options):
        if not settings.DEBUG:
            raise CommandError("everybody knows these passwords, so this is for trying it out only (DEBUG)")
        call_command("migrate", verbosity=0, skip_checks=True)
        ada, grace, _ = (self.person(*person) for person in PEOPLE.items())
        if Room.objects.exists():
            return
        Room.objects.bulk_create(  # which sends no signals, and so no hooks: there is nobody to tell yet
            [
                Room(name="Lobby", slug="lobby", topic="Everybody starts here"),
                Room(name="Kitchen", slug="kitchen", topic="What are you cooking?"),
                Room(name="Engine room", slug="engine-room", topic="For Ada and Grace only", is_private=True),
            ]
        )
        Room.objects.get(slug="engine-room").members.set([ada, grace])
        lobby = Room.objects.get(slug="lobby")
        Rule.objects.create(word="darn")
        no_adverts = {"action": Rule.Action.REFUSE, "reason": "No advertising in here, please."}
        Rule.objects.create(word="casino", **no_adverts)
        welcome = "Welcome! Say something, and see who else is here."
        Message.objects.create(room=lobby, author=ada, text=welcome)

    def person(self, name, is_admin):
        User = get_user_model()
        user, is_new = User.objects.get_or_create(
            username=name, defaults={"is_staff": is_admin, "is_superuser": is_admin}
        )
        if is_new:
            user.set_password(PASSWORD)
            user.save()
        return user
