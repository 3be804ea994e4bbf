"""What a client or the application can do, one file each."""
