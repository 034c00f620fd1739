"""The candle function of docs/CANDLES.md: entries in, closed candles out. Pure: no clock, socket, file or logger."""
