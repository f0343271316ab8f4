"""Require `--` before a command that has options: without it clusterplan would take them for its own."""

import shlex
from collections.abc import Callable

import click

from ..errors import InputError


class WithCommand(click.Command):
    """A command that runs another, which stands at its end; a job file may stand before it."""

    def stands_before(self, word: str) -> bool:
        """Return whether a first word is ours, and not the command's."""
        return word.endswith(".toml")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments.  Raises InputError where an option could belong to either command."""
        from_first_word = self._skip_options(ctx)
        command = from_first_word(args)
        before = args[: len(args) - len(command)]
        if command and before[-1:] != ["--"] and self.stands_before(command[0]):
            command = from_first_word(command[1:])
            before = args[: len(args) - len(command)]
        has_options = any(word.startswith("-") and word != "-" for word in command)
        if has_options and before[-1:] != ["--"] and not ctx.resilient_parsing:
            words = shlex.join([*before, "--", *command])
            raise InputError(f"put -- before the command: {ctx.command_path} {words}")
        return super().parse_args(ctx, args)

    def _skip_options(self, ctx: click.Context) -> Callable[[list[str]], list[str]]:
        """A function that returns the first word that is no option of ours, and all after it."""
        help_option = self.get_help_option(ctx)  # the parser below has one too
        options: list[click.Parameter] = [
            p for p in self.get_params(ctx) if isinstance(p, click.Option) and p is not help_option
        ]
        parser = click.Command(self.name, params=options).make_parser(ctx)
        parser.allow_interspersed_args = False
        return lambda args: parser.parse_args(list(args))[1]
