"""The one source of Hookbox's metadata."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "hookbox/__init__.py").read_text())[1]

setup(
    name="hookbox",
    version=VERSION,
    description="Realtime server for ordinary, synchronous web applications",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["hookbox", "hookbox.*"]),
    package_data={
        "hookbox": [
            "py.typed",
            *(f"**/*.{kind}" for kind in ("js", "mjs", "ts", "mts", "html", "css", "svg")),
        ],
    },
    entry_points={
        "console_scripts": ["hookbox = hookbox.__main__:main"],
        "pytest11": ["hookbox = hookbox.testing.plugin"],
    },
    install_requires=[
        "gevent>=24.2",  # greenlets, the loop, the WSGI server
        "gevent-websocket>=0.10.1",  # recognises and answers the WebSocket upgrade
        "bottle>=0.13,<0.14",  # routes of the HTTP API and of comet
        "requests>=2.31",  # webhooks to the application
        "websockets>=14",  # sans-I/O WebSocket frame codec with C speedups
        "prometheus_client>=0.20",  # writes /metrics in both formats; pure Python, needs nothing
        "multipart>=1.2",  # reads multipart forms that are to be dispatched; by the author of bottle
    ],
    extras_require={
        "django": ["django>=4.2"],  # hookbox.contrib.django; the server itself never imports it
        "test": [
            "pytest>=9",
            "pytest-xdist>=3",
            "hypothesis>=6",
            "playwright>=1.45",
            "standardwebhooks>=1",
            "django>=5.2,<6",  # the newest that Hookbox supports; `make test` fetches the oldest one too
            "pytest-django>=4.11",
            "celery>=5.4",
            "psycopg[binary]>=3.2",
            "pyyaml>=6",  # reads packaging/docker/compose.yml
        ],
        "lint": [
            "ruff>=0.17,<0.18",
            "mypy>=2.4,<3",
            "pytest>=9",
            "types-requests",
            "types-gevent",
            "django>=5.2,<6",
            "django-stubs>=6,<7",
        ],
    },
    classifiers=[
        "License :: OSI Approved :: MIT License",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP",
        "Typing :: Typed",
    ],
)
