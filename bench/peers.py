"""Which peers are there: a package that cannot be imported on this Python is left out, with its reason."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

_MODULES = {
    "kiteconnect + dict": "bench.peer_kiteconnect",
    "nautilus_trader": "bench.peer_nautilus",
    "vnpy": "bench.peer_vnpy",
    "cryptofeed": "bench.peer_cryptofeed",
    "polars (batch)": "bench.peer_polars",
    "TA-Lib": "bench.peer_talib",
    "talipp": "bench.peer_talipp",
    "pandas": "bench.peer_pandas",
}


class Peers:
    """Modules by the peer's name."""

    def __init__(self) -> None:
        self.absent: dict[str, str] = {}
        self._modules: dict[str, ModuleType] = {}
        for name, module in _MODULES.items():
            try:
                self._modules[name] = import_module(module)
            except Exception as error:
                self.absent[name] = f"{type(error).__name__}: {error}"

    def get(self, name: str) -> ModuleType | None:
        return self._modules.get(name)
