"""Candlewick's console: `python manage.py COMMAND --help`. Each command is one module of commands/."""

from __future__ import annotations

from importlib import import_module

import click

# Name, module, one line for the list. Modules are imported only when called: a health check must start fast.
COMMANDS = {
    "demo": ("commands.demo.command", "Play a simulated session through the whole pipeline and watch it."),
    "login": ("commands.login", "Fetch today's access token from Zerodha."),
    "doctor": ("commands.doctor.command", "Report in plain words what is wrong with the data, if anything."),
    "sessions": ("commands.sessions", "Print the trading hours of a day, class by class, with their sources."),
    "coverage": ("commands.coverage", "Write into MongoDB what is held of a day, its instruments and outages."),
    "replay": ("commands.replay.command", "Work through a recorded day again, apart from live data."),
}


class LazyGroup(click.Group):
    """Lists the commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        try:
            command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"The Python package {error.name} is missing: install what requirements.txt names "
                "(the demo: requirements/dev.txt), and run manage.py with that Python."
            ) from None
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Candlewick: live candles, indicators and signals for Zerodha Kite Connect."""


if __name__ == "__main__":
    main()
