"""The Django project in which mypy looks at hookbox.contrib.django."""

SECRET_KEY = "only for types"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "hookbox.contrib.django"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
