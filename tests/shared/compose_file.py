"""docker-compose.yml as the tests read it: merged by a YAML library, with `${NAME:-default}` filled in by us."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

REPO = Path(__file__).resolve().parents[2]
COMPOSE = REPO / "docker-compose.yml"
STORES = ("redis", "mongo")
LIVE_PROCESSES = ("connector", "candle-worker", "signal-worker")
DEMO, REPLAY = "demo", "replay"

_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>[A-Z_]+)(?:(?P<how>:[-?])(?P<rest>[^}]*))?\}")


@lru_cache(maxsize=1)
def services() -> dict[str, dict[str, Any]]:
    """Every service, anchors and merges resolved."""
    content: dict[str, dict[str, dict[str, Any]]] = YAML(typ="safe").load(COMPOSE)
    return content["services"]


def filled_in(text: str, variables: Mapping[str, str]) -> str:
    """Compose's interpolation, as far as the file uses it. KeyError: neither value nor default."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        if match["how"] == ":-":
            return variables.get(match["name"]) or match["rest"]
        return variables[match["name"]]

    return _VARIABLE.sub(value, text)


def mounts(service: Mapping[str, Any]) -> dict[str, str]:
    """Mount point to volume name."""
    pairs = [str(volume).split(":")[:2] for volume in service.get("volumes", [])]
    return {path: name for name, path in pairs}
