"""Looks for secrets wherever a session may have left them: files, Redis, MongoDB, command lines."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bson
import pymongo
import redis
import zstandard

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def forms_of(secret: str) -> set[bytes]:
    """As it is, quoted for a URL, and as the inner part of base64 at each of the three offsets."""
    forms = {secret.encode(), quote(secret, safe="").encode()}
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + secret.encode())
        forms.add(encoded[4 if offset else 0 : -4])
    return forms


def found_in(secrets: Mapping[str, str], content: bytes) -> set[str]:
    """The names of the secrets in there, packed content unpacked first."""
    unpacked = _unpacked(content)
    return {name for name, secret in secrets.items() if any(form in unpacked for form in forms_of(secret))}


def _unpacked(content: bytes) -> bytes:
    at = content.find(ZSTD_MAGIC)
    if content.startswith(b"\x1f\x8b"):
        return content + gzip.decompress(content)
    if at >= 0:
        try:
            return content + zstandard.ZstdDecompressor().decompressobj().decompress(content[at:])
        except zstandard.ZstdError:
            return content
    return content


def everything(directory: Path, client: redis.Redis, mongo_url: str) -> Iterator[tuple[str, bytes]]:
    """(where, content) of every file under the directory, every key and value, every document."""
    yield from files(directory)
    yield from redis_values(client)
    yield from mongo_documents(mongo_url)


def files(directory: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(directory)), path.read_bytes()


def redis_values(client: Any) -> Iterator[tuple[str, bytes]]:
    """`client` answers bytes."""
    for key in client.scan_iter():
        kind = client.type(key).decode()
        readers: dict[str, Callable[[bytes], list[bytes]]] = {
            "string": lambda key: [client.get(key) or b""],
            "hash": lambda key: _flat(client.hgetall(key).items()),
            "set": lambda key: list(client.smembers(key)),
            "zset": lambda key: client.zrange(key, 0, -1),
            "stream": lambda key: _flat(_flat(fields.items()) for _, fields in client.xrange(key)),
        }
        for value in readers[kind](key):
            yield f"redis {key.decode()}", key + b" " + value


def _flat(groups: Iterable[Iterable[bytes]]) -> list[bytes]:
    return [entry for group in groups for entry in group]


def mongo_documents(url: str) -> Iterator[tuple[str, bytes]]:
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        for database in client.list_database_names():
            for collection in client[database].list_collection_names():
                for document in client[database][collection].find():
                    yield f"mongo {database}.{collection}", bson.encode(document)


def command_lines() -> Iterator[tuple[str, bytes]]:
    """Of every process of this machine, as `ps` shows them."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield f"pid {path.parent.name}", path.read_bytes()
        except OSError:
            continue


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()
