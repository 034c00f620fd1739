"""The rules of docs/CANDLES.md, compiled by numba: from the bytes of frames to candles in state arrays.

processing → packets → doubts, outliers → trades → buckets; `layout` has the arrays. Called by the engine alone.
"""
