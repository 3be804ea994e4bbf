"""Settings for trying it out on one machine; `production.py` is what is different in earnest."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = True
SECRET_KEY = "for trying it out on one machine, and for nothing else"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "hookbox.contrib.django",
    "rooms",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("CHAT_DATABASE", BASE_DIR / "chat.sqlite3"),
        "OPTIONS": {"timeout": 20},  # seconds; several threads write
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "home"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"

# What Django and its Hookbox know of each other. run.py makes up the secrets, for both.
HOOKBOX_PORT = os.environ.get("HOOKBOX_PORT", "8001")
HOOKBOX_CBPORT = os.environ.get("CHAT_PORT", "8000")
HOOKBOX_WEBHOOK_SECRET = os.environ.get("HOOKBOX_WEBHOOK_SECRET")
HOOKBOX_API_SECURITY_TOKEN = os.environ.get("HOOKBOX_API_SECURITY_TOKEN")
HOOKBOX_STORE = os.environ.get("HOOKBOX_STORE", BASE_DIR / "hookbox.sqlite3")
