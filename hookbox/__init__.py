"""Hookbox: realtime for web applications that answer ordinary HTTP requests.

Importing this package patches nothing and starts nothing.
"""

__version__ = "1.0.0.dev0"

__all__ = ["__version__"]
