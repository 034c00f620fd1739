"""The console's commands, one module each; manage.py only names them."""
