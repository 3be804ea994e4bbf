from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("hookbox/", include("hookbox.contrib.django.urls")),
    path("durian/", include("hookbox.contrib.django.listener_urls")),
]
