"""Kills, faults, overload and ten weeks in virtual time, each with a seed, judged against an undisturbed run."""
