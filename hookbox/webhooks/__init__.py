"""Asking the application while someone waits for its verdict."""
