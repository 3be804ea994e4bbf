"""A Hookbox server that Django starts beside itself: what it is told, and how it is started and ended."""
