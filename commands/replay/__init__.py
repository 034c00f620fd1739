"""`manage.py replay`: a recorded day through the same workers, under keys and in a database of its own.

In: a day's journal. Out: the closing figures beside what the live day stored.
"""
