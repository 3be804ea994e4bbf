"""The console: a page and a feed over what anyone inside may observe."""
