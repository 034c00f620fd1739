"""What tests of several kinds share: processes they start, servers, made-up candles, the report of a failure."""
