"""`manage.py demo`: a simulated session through the whole pipeline, with real processes and servers of its own.

In: a day, a stretch of it, a speed, faults. Out: a view to watch, and the closing figures.
"""
