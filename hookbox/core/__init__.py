"""The domain: values and rules. No gevent, sockets, requests, time or logging here."""
