"""The independent reference: docs/CANDLES.md written a second time, slow and obvious, with none of its code."""
