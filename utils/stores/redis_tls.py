"""Whether REDIS_URL asks for TLS where the server speaks none, or the other way round.

Either looks like an outage: a plain server waits for more of the handshake, and one with TLS closes the connection.
So, after such an error, the server is asked once in the other way, without any secret.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

import redis

from utils.stores.redis_failure import TlsMismatchError

ASK_SECONDS = 2.0
_PING = b"PING\r\n"
_NOT_REACHED = "refused", "not known", "No address"  # whoever is not there speaks nothing


def check_tls(client: redis.Redis, error: redis.RedisError) -> None:
    """TlsMismatchError if that is what is behind an error of this client's connection."""
    options: dict[str, Any] = client.connection_pool.connection_kwargs
    pool_class: Any = client.connection_pool.connection_class
    wants_tls = issubclass(pool_class, redis.SSLConnection)
    is_timeout = isinstance(error, redis.TimeoutError)
    if "host" not in options or any(words in str(error.__cause__ or error) for words in _NOT_REACHED):
        return
    address = (options["host"], int(options.get("port", 6379)))
    if wants_tls and _speaks_plainly(address):
        raise TlsMismatchError("The server at REDIS_URL speaks no TLS: let it begin with redis:// (not rediss://)")
    if not wants_tls and not is_timeout and _speaks_tls(address):
        raise TlsMismatchError("The server at REDIS_URL speaks TLS only: let it begin with rediss:// (not redis://)")


def _speaks_plainly(address: tuple[str, int]) -> bool:
    """Whether it answers as a Redis does, be it that it wants a password."""
    try:
        with socket.create_connection(address, ASK_SECONDS) as plain:
            plain.sendall(_PING)
            return plain.recv(1) in (b"+", b"-")
    except OSError:
        return False


def _speaks_tls(address: tuple[str, int]) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent: only whether it shakes hands
    try:
        with socket.create_connection(address, ASK_SECONDS) as plain, context.wrap_socket(plain):
            return True
    except ssl.SSLError as error:
        return "CERTIFICATE_REQUIRED" in str(error)
    except OSError:
        return False
