"""From the broker's sockets to the journal, and from the journal to the streams `ticks:*`.

In: raw WebSocket frames. Out: entries in the journal and in Redis, each once. Started by connect.py.
"""
