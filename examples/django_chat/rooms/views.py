from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LogoutView
from django.db import transaction
from django.shortcuts import get_object_or_404, redirect, render

from hookbox.contrib.django import HookboxError, disconnect

from .models import Announcement, Room
from .moderation import LONGEST


@login_required
def home(request):
    oldest = Room.objects.open_to(request.user).order_by("pk").first()
    return redirect(oldest) if oldest else render(request, "rooms/room.html")


@login_required
def room(request, slug):
    rooms = Room.objects.open_to(request.user)
    return render(
        request,
        "rooms/room.html",
        {
            "room": get_object_or_404(rooms, slug=slug),
            "rooms": rooms,
            "announcement": Announcement.objects.first(),
            "longest": LONGEST,
        },
    )


class LogOut(LogoutView):
    def post(self, request, *args, **kwargs):
        user = request.user
        response = super().post(request, *args, **kwargs)
        if user.is_authenticated:  # once the session is gone: pages elsewhere come back, these cannot
            transaction.on_commit(lambda: end_connections(user))
        return response


def end_connections(user):
    try:
        disconnect(user)
    except (HookboxError, ValueError):
        pass  # nobody there of that name, or Hookbox is down; without a session nothing is allowed anyway
