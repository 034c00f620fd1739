"""An exchange that speaks Kite's WebSocket and REST.

In: a day, instruments, a seed, faults. Out: the packets that a broker would send, and the tape that they came from.
Started by `python -m simulator`; the demo and the tests use it.
"""
