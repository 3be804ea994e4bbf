"""`/api/v1`: what was accepted and what became of it, and the endpoints it goes to."""
