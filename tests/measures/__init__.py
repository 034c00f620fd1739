"""How close the candle engine comes to the simulator's tape, in process, without sockets or stores.

In: the frames of a simulated session (played_day). Through it: the engine (engine_day). Out: the share of candles
equal to the tape (tape_shares), the good trades refused (refused_trades) and the bad prints that got into a candle
(passed_prints). `python -m tests.measures` prints all of it; tests/measures/test_*.py hold the bounds.
"""
