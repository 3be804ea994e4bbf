"""The webhooks' URLs: `path("hookbox/", include("hookbox.contrib.django.urls"))`."""

from __future__ import annotations

from django.urls import path, re_path

from hookbox.contrib.django import views

urlpatterns = [
    path("", views.single, name="hookbox_single"),
    re_path(r"^connect/?$", views.connect, name="hookbox_connect"),
    re_path(r"^disconnect/?$", views.disconnect, name="hookbox_disconnect"),
    re_path(r"^create_channel/?$", views.create_channel, name="hookbox_create_channel"),
    re_path(r"^destroy_channel/?$", views.destroy_channel, name="hookbox_destroy_channel"),
    re_path(r"^subscribe/?$", views.subscribe, name="hookbox_subscribe"),
    re_path(r"^unsubscribe/?$", views.unsubscribe, name="hookbox_unsubscribe"),
    re_path(r"^publish/?$", views.publish, name="hookbox_publish"),
    re_path(r"^message/?$", views.message, name="hookbox_message"),
    re_path(r"^hub_subscribe/?$", views.hub_subscribe, name="hookbox_hub_subscribe"),
    re_path(r"^errback/?$", views.errback, name="hookbox_errback"),
]
