"""`manage.py doctor`: what is wrong with the data, in plain words; also the containers' health check.

A module is a topic: a health report and the moment go in, findings come out. Nothing heavy is imported from here.
"""
