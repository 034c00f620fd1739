"""The live view's hashes as packed commands: names and fields that never change are made once and kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from utils.candles.encoding import Rows
from utils.candles.live_view import Hashes
from utils.candles.texts import WIDTH
from utils.keys import Keys
from utils.stores.hash_commands import Words, write_hashes
from utils.stores.redis_connection import bulk

_HEAD_BYTES = 16  # of a command (`*38`), and of a value (`$25`): each more than enough


class LiveHashes:
    """Makes the commands of one shard."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._rows = Rows((), ())
        self._candle_words: dict[int, tuple[bytes, bytes]] = {}
        self._tick_words: dict[int, tuple[bytes, bytes]] = {}
        self._used = np.zeros(2, np.int64)

    def pack(self, rows: Rows, candles: Hashes, ticks: Hashes) -> tuple[bytes, int]:
        """What changed, as commands, and how many they are."""
        if rows is not self._rows:
            self._rows = rows
            self._candle_words.clear()
            self._tick_words.clear()
        content, count = b"", 0
        for hashes, words, constant in ((ticks, self._words_of_ticks, 4), (candles, self._words_of_candles, 8)):
            if hashes.places:
                packed, commands = self._pack(hashes, [words(place) for place in hashes.places], constant)
                content, count = content + packed, count + commands
        return content, count

    def _pack(self, hashes: Hashes, words: Sequence[tuple[bytes, bytes]], constant_words: int) -> tuple[bytes, int]:
        """words: of each hash, its name and the fields that only a hash written in full gets."""
        names = _joined([name for name, _ in words], 1)
        constants = _joined([constant for _, constant in words], constant_words)
        fields = _joined([bulk(name.encode()) for name in hashes.fields.names], 1)
        a_hash = 2 * (len(fields.content) + len(_VERBS.content) + _HEAD_BYTES)
        a_hash += len(fields.ends) * (WIDTH + _HEAD_BYTES)
        size = 2 * len(names.content) + len(constants.content) + a_hash * len(words)
        out = np.empty(size, np.uint8)
        write_hashes(names, constants, fields, _VERBS, hashes.whole, hashes.texts, hashes.lengths, out, self._used)
        size, commands = self._used.tolist()
        return out[:size].tobytes(), commands

    def _words_of_candles(self, place: int) -> tuple[bytes, bytes]:
        words = self._candle_words.get(place)
        if words is None:
            instrument, timeframe = self._rows.at(place)
            constant = {
                "symbol": instrument.symbol,
                "timeframe": timeframe,
                "token": str(instrument.token),
                "source": "live",
            }
            name = self._keys.candle(instrument.symbol, timeframe)
            words = self._candle_words[place] = (bulk(name.encode()), _bulks(constant))
        return words

    def _words_of_ticks(self, row: int) -> tuple[bytes, bytes]:
        words = self._tick_words.get(row)
        if words is None:
            instrument = self._rows.instruments[row]
            constant = {"token": str(instrument.token), "symbol": instrument.symbol}
            name = self._keys.tick(instrument.symbol)
            words = self._tick_words[row] = (bulk(name.encode()), _bulks(constant))
        return words


def live_names(keys: Keys, symbol: str, timeframes: Sequence[str]) -> list[str]:
    """Of all hashes that the live view has of an instrument."""
    return [keys.tick(symbol), *(keys.candle(symbol, timeframe) for timeframe in timeframes)]


def _bulks(fields: dict[str, str]) -> bytes:
    return b"".join(bulk(word.encode()) for pair in fields.items() for word in pair)


def _joined(parts: Sequence[bytes], words: int) -> Words:
    return Words(np.frombuffer(b"".join(parts), np.uint8), np.cumsum([0, *map(len, parts)]), words)


_VERBS = _joined([bulk(b"HSET"), bulk(b"HDEL")], 1)
