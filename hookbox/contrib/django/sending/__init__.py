"""The way of a webhook from a hook to its listeners."""
