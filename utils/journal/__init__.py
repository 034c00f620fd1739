"""The journal: the queue, the raw archive and the source of every replay, one file a shard and day.

In: entries (a frame or a mark, under an id that only rises). Out: the same entries, in order, after any crash.
The connector writes it and sends from it; replay and coverage read it.
"""
