"""Plausible mistakes in the rules of candles (mutants.toml), each of which a named test has to catch.

In: the tracked tree. Out: a table, and exit code 1 when a mistake survives. Called by `make mutants`.
"""
