"""From closed candles to indicator values and signals.

In: closed candles and a warm-up from the past. Out: signals (stream, channel, MongoDB, file), values, a snapshot.
Called by signal_worker.py.
"""
