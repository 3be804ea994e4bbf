"""HTTP in: the strict door, the transports' URLs, the application's API, health."""
