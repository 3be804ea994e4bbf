"""The listeners' pages: `path("durian/", include("hookbox.contrib.django.listener_urls"))`."""

from __future__ import annotations

from django.urls import path

from hookbox.contrib.django import listener_views as views

app_name = "durian"
urlpatterns = [
    path("", views.index, name="list"),
    path("select/", views.select, name="select"),
    path("create/", views.create, name="create"),
    path("debug/", views.debug, name="debug"),
    path("<uuid:uuid>/edit/", views.edit, name="edit"),
    path("<uuid:uuid>/delete/", views.delete, name="delete"),
    path("<uuid:uuid>/test/", views.test, name="test"),
]
