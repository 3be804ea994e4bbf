"""What is different in earnest: `DJANGO_SETTINGS_MODULE=config.production`, behind a proxy that speaks TLS.

The proxy passes /realtime/ to Hookbox and all else to Django, but not /hookbox/: only Hookbox asks there,
from this machine and without TLS.
"""

import os

from .settings import *  # noqa: F403

DEBUG = False
SECRET_KEY = os.environ["SECRET_KEY"]
HOST = os.environ["CHAT_HOST"]
ALLOWED_HOSTS = [HOST, "localhost"]  # Hookbox asks http://localhost

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = True
SECURE_REDIRECT_EXEMPT = [r"^hookbox/"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
STATIC_ROOT = os.environ.get("CHAT_STATIC", "/var/www/chat")

HOOKBOX_WEBHOOK_SECRET = os.environ["HOOKBOX_WEBHOOK_SECRET"]
HOOKBOX_API_SECURITY_TOKEN = os.environ["HOOKBOX_API_SECURITY_TOKEN"]
HOOKBOX_PATH_PREFIX = "/realtime"
HOOKBOX_URL = f"http://localhost:{os.environ.get('HOOKBOX_PORT', '8001')}{HOOKBOX_PATH_PREFIX}"
HOOKBOX_PUBLIC_URL = f"https://{HOST}{HOOKBOX_PATH_PREFIX}"
HOOKBOX_TRUSTED_PROXY = ["127.0.0.1"]
