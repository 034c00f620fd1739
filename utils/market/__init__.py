"""What is true of the market: candles and signals as values, instruments, trading hours, timeframes, the clock, IST.

In: dated tables and texts. Out: value objects and pure functions. Everybody calls it; it imports nothing above.
"""
