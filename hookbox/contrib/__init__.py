"""Hookbox in other people's frameworks; nothing here imports the server."""
