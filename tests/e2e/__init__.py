"""Full sessions through all processes: undisturbed, killed, replayed, and beside an independent computation."""
