"""What the broker speaks: frames, the WebSocket, history and profile over REST, the token, the instrument dump.

In: bytes and answers of Kite Connect. Out: entries' payloads, rows, instruments, and errors by cause.
Called by the connector, the warm-up and the commands.
"""
