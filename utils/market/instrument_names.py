"""Instruments under other names: what people of other tools, in lower case or after a renaming, write for one."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

from utils.market.instruments import Instrument

# Other tools' names, and the contracts' own, of indices (Kite's dump of instruments has those on the right).
_INDICES = {
    **dict.fromkeys(("NIFTY", "NIFTY50", "CNXNIFTY"), "NIFTY50"),
    **dict.fromkeys(("BANKNIFTY", "NIFTYBANK", "CNXBANK"), "NIFTYBANK"),
    **dict.fromkeys(("FINNIFTY", "NIFTYFIN"), "NIFTYFINSERVICE"),
    **dict.fromkeys(("MIDCPNIFTY", "NIFTYMIDCAPSELECT"), "NIFTYMIDSELECT"),
    **dict.fromkeys(("NIFTYNXT50", "NIFTYJR"), "NIFTYNEXT50"),
    **dict.fromkeys(("VIX", "INDIAVIX"), "INDIAVIX"),
    "BSESENSEX": "SENSEX",
}
# NSE's list of symbol changes, as far as stocks with futures and options go.
_RENAMED = {
    "ADANITRANS": "ADANIENSOL",
    "CADILAHC": "ZYDUSLIFE",
    "GMRINFRA": "GMRAIRPORT",
    "IBULHSGFIN": "SAMMAANCAP",
    "INFRATEL": "INDUSTOWER",
    "LTI": "LTIM",
    "MCDOWELLN": "UNITDSPR",
    "MINDTREE": "LTIM",
    "MOTHERSUMI": "MOTHERSON",
    "NIITTECH": "COFORGE",
    "PVR": "PVRINOX",
    "SRTRANSFIN": "SHRIRAMFIN",
    "TATAGLOBAL": "TATACONSUM",
    "TATAMOTORS": "TMPV",
    "ZOMATO": "ETERNAL",
}
_SERIES = re.compile("-(EQ|BE|BZ|INDEX)$")
_OPTION = re.compile(r"\d(CE|PE)$")
_CLOSE = 0.75  # of difflib's ratio
_FEWEST_LETTERS = 4  # with which a company's name can be begun
_FIRST_LETTERS = 2  # of a name that is misspelt: a dump has a hundred thousand, and most share none of them


class InstrumentNames:
    """The instruments there are, ready to be asked for the one that was meant."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._by_plain: dict[str, list[str]] = {}
        self._by_other: dict[str, list[str]] = {}
        for instrument in sorted(instruments, key=lambda listed: listed.expiry):
            self._by_plain.setdefault(_plain(instrument.tradingsymbol), []).append(instrument.symbol)
            for other in filter(None, _other_names(instrument)):
                self._by_other.setdefault(other, []).append(instrument.symbol)

    def nearest(self, symbol: str) -> str:
        """`NSE:NIFTY 50` for `nse:nifty`; empty when nothing is near. Of its own exchange, if that has it."""
        exchange, _, name = html.unescape(symbol.upper()).partition(":")
        plain = _plain(name.rpartition(":")[2])
        for wanted in (plain, plain.replace("&", ""), _INDICES.get(plain, ""), _RENAMED.get(plain, "")):
            if wanted in self._by_plain:
                return _of_exchange(self._by_plain[wanted], exchange)
        if plain in self._by_other:
            return _of_exchange(self._by_other[plain], exchange)
        close = get_close_matches(plain, self._alike(plain, exchange), n=1, cutoff=_CLOSE)
        found = self._by_plain[close[0]] if close else self._begun(plain)
        return _of_exchange(found, exchange) if found else ""

    def _begun(self, plain: str) -> list[str]:
        """Those of the company or the underlying whose name begins so, unless there are several."""
        if len(plain) < _FEWEST_LETTERS or plain.isdigit():
            return []
        begun = (name for name in self._by_other if name.startswith(plain))
        shortest, *longer = sorted(begun, key=len) or [""]
        return self._by_other.get(shortest, []) if all(name.startswith(shortest) for name in longer) else []

    def _alike(self, plain: str, exchange: str) -> list[str]:
        """The names of the exchange that begin alike; a put is never meant by a call."""
        start, right = plain[:_FIRST_LETTERS], _right(plain)
        return [
            name
            for name, symbols in self._by_plain.items()
            if name.startswith(start)
            and _right(name) == right
            and any(_is_of(exchange, symbol) for symbol in symbols)
        ]


def with_suggestions(missing: Sequence[str], instruments: Iterable[Instrument]) -> list[str]:
    """Each as it was written, and behind it the nearest one that exists: `NSE:ZOMATO (NSE:ETERNAL?)`."""
    if not missing:
        return []
    names = InstrumentNames(instruments)
    near = {symbol: names.nearest(symbol) for symbol in missing}
    return [f"{symbol} ({near[symbol]}?)" if near[symbol] else symbol for symbol in missing]


def _plain(name: str) -> str:
    """Without what people leave out, add or write otherwise."""
    return re.sub("[^A-Z0-9&]", "", _SERIES.sub("", name.strip().upper()))


def _other_names(instrument: Instrument) -> Iterator[str]:
    """What else people call it: a stock by its company or a number, a future by what it is on."""
    if instrument.instrument_type not in ("EQ", "FUT"):
        return
    yield _plain(instrument.name)
    if not instrument.expiry:
        yield _plain(instrument.tradingsymbol).replace("&", "")
        yield str(instrument.token >> 8)
        yield str(instrument.token)


def _right(plain: str) -> str:
    """CE, PE, or empty for what is no option."""
    found = _OPTION.search(plain)
    return found[1] if found else ""


def _is_of(exchange: str, symbol: str) -> bool:
    return symbol.startswith(f"{exchange.partition('_')[0]}:")


def _of_exchange(symbols: Sequence[str], exchange: str) -> str:
    return next((symbol for symbol in symbols if _is_of(exchange, symbol)), symbols[0])
