"""What commands share: the terminal, child processes, the environment of a run, waiting, figures at the end."""
