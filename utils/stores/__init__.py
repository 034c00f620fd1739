"""The stores: every command that goes to Redis or MongoDB, and no market rule."""
