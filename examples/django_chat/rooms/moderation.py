"""What may be said, and how it comes out."""

import re

from hookbox.contrib.django import Deny

from .models import Rule

LONGEST = 500  # characters


def moderate(text):
    """The text as everybody will see it; raises Deny with the reason, for its author to read."""
    if not isinstance(text, str) or not text.strip():
        raise Deny("There is nothing in that message.")
    if len(text) > LONGEST:
        raise Deny(f"That is {len(text)} characters long, and {LONGEST} is the most.")
    for rule in Rule.objects.all():
        pattern = re.compile(rf"(?<!\w){re.escape(rule.word)}(?!\w)", re.IGNORECASE)
        if rule.action == Rule.Action.HIDE:
            text = pattern.sub(lambda word: "*" * len(word[0]), text)
        elif pattern.search(text):
            raise Deny(rule.reason or f"“{rule.word}” is not for this place.")
    return text.strip()
