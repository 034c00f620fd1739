"""A Redis and a MongoDB of our own on free loopback ports, for demo, replay and tests."""
