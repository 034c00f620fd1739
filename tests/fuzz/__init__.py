"""Hostile input: targets that take any bytes, a saved corpus, and a coverage-guided runner (`make fuzz`).

A target is a module with `check(data)`, which raises when an exception escapes or a promise is broken, and `seeds()`,
the inputs to start from. `python -m tests.fuzz` runs them under atheris;
`tests/unit/reference/test_hostile_corpus.py` without it.
"""
