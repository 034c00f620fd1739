"""The console's commands: a module each, or a folder where there are several; manage.py only names them.

What they share (terminal, child processes, embedded servers, waiting) is in shared/.
"""
