"""The stores: every command that goes to Redis or MongoDB, and no market rule.

In: values of the lower floors. Out: the same in keys and documents, written once, whatever is repeated.
Called by the connector, the workers and the commands.
"""
