from django.contrib import admin

from .models import Announcement, Message, Room, Rule


@admin.register(Room)
class RoomAdmin(admin.ModelAdmin):
    list_display = ["name", "topic", "is_private"]
    list_filter = ["is_private"]
    prepopulated_fields = {"slug": ["name"]}
    filter_horizontal = ["members"]


@admin.register(Message)
class MessageAdmin(admin.ModelAdmin):
    list_display = ["text", "author", "room", "sent_at"]
    list_filter = ["room"]
    search_fields = ["text"]


@admin.register(Rule)
class RuleAdmin(admin.ModelAdmin):
    list_display = ["word", "action", "reason"]


@admin.register(Announcement)
class AnnouncementAdmin(admin.ModelAdmin):
    list_display = ["text", "made_at"]
