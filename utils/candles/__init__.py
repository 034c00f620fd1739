"""Entries in, closed candles out (docs/CANDLES.md). Pure: no clock, socket, file or logger.

In: a shard's entries. Out: closed candles as JSON, rejected packets, what changed in the live view, a snapshot.
Called by data_handler.py; the compiled rules are in kernels/.
"""
