"""What carries encoded frames to and from a client; knows no channel."""
