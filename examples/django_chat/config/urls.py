from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import include, path
from rooms import views

urlpatterns = [
    path("", views.home, name="home"),
    path("rooms/<slug:slug>/", views.room, name="room"),
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", views.LogOut.as_view(), name="logout"),
    path("admin/logout/", views.LogOut.as_view()),  # so that both ways out close the live connections
    path("admin/", admin.site.urls),
    path("hookbox/", include("hookbox.contrib.django.urls")),
    path("webhooks/", include("hookbox.contrib.django.listener_urls")),
]
