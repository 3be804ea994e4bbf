from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from rooms import views

urlpatterns = [
    path("", views.home, name="home"),
    path("rooms/<slug:slug>/", views.room, name="room"),
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),  # the session's live connections end, too
    path("admin/", admin.site.urls),
    path("hookbox/", include("hookbox.contrib.django.urls")),
    path("webhooks/", include("hookbox.contrib.django.listener_urls")),
]
