"""The hub: who subscribes to a topic by WebSub or PubSubHubbub, and proves that it wants to.

Sources: W3C WebSub (Recommendation, 23 January 2018); PubSubHubbub Core 0.3.
"""
