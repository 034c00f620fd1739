"""The output of a run: plain lines, and either a view that is drawn anew or a progress line now and then."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console, RenderableType
from rich.live import Live

from commands.shared.picture import Picture, Step
from commands.shared.picture_view import draw, draw_steps, progress_line, steps_line

UPDATES_A_SECOND = 2.5
LINE_SECONDS = 5.0
_FILE_WIDTH = 120
_FEWEST_CANDLES, _MOST_CANDLES, _OTHER_ROWS = 3, 16, 24


class Terminal:
    """`print_line` writes a line at any time; `show` shows how things are, when it is time to."""

    def __init__(self, with_view: bool) -> None:
        is_terminal = sys.stdout.isatty()
        self._console = Console(
            highlight=False, emoji=False, soft_wrap=True, width=None if is_terminal else _FILE_WIDTH
        )
        self.has_view = with_view and is_terminal
        self._live: Live | None = None
        self._next = 0.0

    @property
    def rows_for_candles(self) -> int:
        """How many instruments the view has room for."""
        return (
            _MOST_CANDLES
            if not self.has_view
            else max(_FEWEST_CANDLES, min(_MOST_CANDLES, self._console.height - _OTHER_ROWS))
        )

    def print_line(self, text: str = "") -> None:
        """One line (or some), without markup."""
        self._console.print(text, markup=False)
        sys.stdout.flush()

    def show(self, take_picture: Callable[[], Picture]) -> None:
        """Draws the view, or every few seconds prints a line. Calls that come too soon cost nothing."""
        if self._is_time():
            picture = take_picture()
            self._update(lambda: draw(picture), lambda: progress_line(picture))

    def show_steps(self, steps: Sequence[Step]) -> None:
        """Likewise, before there is anything else to see: how far everything is that is made ready."""
        if self._is_time():
            self._update(lambda: draw_steps(steps), lambda: steps_line(steps))

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + (1 / UPDATES_A_SECOND if self._live is not None else LINE_SECONDS)
        return True

    def _update(self, drawn: Callable[[], RenderableType], line: Callable[[], str]) -> None:
        if self._live is not None:
            self._live.update(drawn(), refresh=True)
        else:
            self.print_line(line())

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
