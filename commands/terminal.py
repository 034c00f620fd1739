"""Where a run speaks: plain lines, and either a view that is drawn anew or a progress line now and then."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console, RenderableType
from rich.live import Live

from commands.live_view import draw, progress_line
from commands.picture import Picture

UPDATES_A_SECOND = 2.5
LINE_SECONDS = 5.0
_FILE_WIDTH = 120
_FEWEST_CANDLES, _MOST_CANDLES, _OTHER_ROWS = 3, 16, 24


class Terminal:
    """`say` writes a line at any time; `show` shows how things are, when it is time to."""

    def __init__(self, with_view: bool) -> None:
        is_terminal = sys.stdout.isatty()
        self._console = Console(highlight=False, soft_wrap=True, width=None if is_terminal else _FILE_WIDTH)
        self.has_view = with_view and is_terminal
        self._live: Live | None = None
        self._next = 0.0

    @property
    def rows_for_candles(self) -> int:
        """How many instruments the view has room for."""
        return max(_FEWEST_CANDLES, min(_MOST_CANDLES, self._console.height - _OTHER_ROWS))

    def say(self, text: str = "") -> None:
        """One line (or some), without markup."""
        self._console.print(text, markup=False)
        sys.stdout.flush()

    def show(self, take_picture: Callable[[], Picture]) -> None:
        """Draws the view, or every few seconds says a line. Calls that come too soon cost nothing."""
        now = time.monotonic()
        if now < self._next:
            return
        if self._live is not None:
            self._next = now + 1 / UPDATES_A_SECOND
            self._live.update(draw(take_picture()), refresh=True)
        else:
            self._next = now + LINE_SECONDS
            self.say(progress_line(take_picture()))

    def draw(self, what: RenderableType) -> None:
        """A table or the like."""
        self._console.print(what)

    @contextlib.contextmanager
    def view(self) -> Iterator[None]:
        """While this holds, `show` draws in place when the terminal can."""
        if not self.has_view:
            yield
            return
        with Live(console=self._console, auto_refresh=False, transient=False) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None
