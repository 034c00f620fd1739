"""What is held and what is missing: outages of the feed, and the gaps in a day's candles.

In: a day's entries and candles. Out: documents for MongoDB. Called by `manage.py coverage`.
"""
