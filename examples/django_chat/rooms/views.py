from django.contrib.auth.decorators import login_required
from django.shortcuts import get_object_or_404, redirect, render

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
