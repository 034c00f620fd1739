"""Whole sessions through all processes: undisturbed, killed, replayed, and beside an independent second computation."""
