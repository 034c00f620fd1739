"""What every process has: settings, log, lifecycle and exit codes, timing, garbage collection, compiled kernels.

In: the environment and `.env`. Out: checked settings, log lines, a stop request. Called by the scripts and commands.
"""
