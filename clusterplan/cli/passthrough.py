"""`--` before a command that has options: without it they would be taken for ours, and its own would be missing."""

import shlex

import click

from ..errors import InputError


class WithCommand(click.Command):
    """A command that runs another, given at its end; a job file may stand before that."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Raises InputError where it could be either's option."""
        command = self._from_first_word(ctx, args)
        if command and command[0].endswith(".toml"):
            command = self._from_first_word(ctx, command[1:])
        before = args[: len(args) - len(command)]
        optioned = any(word.startswith("-") and word != "-" for word in command)
        if optioned and before[-1:] != ["--"] and not ctx.resilient_parsing:
            right = shlex.join([*before, "--", *command])
            raise InputError(f"put -- before the command: {ctx.command_path} {right}")
        return super().parse_args(ctx, args)

    def _from_first_word(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What is left after the options before the first other word."""
        own_help = self.get_help_option(ctx)  # the parser below has one too
        options: list[click.Parameter] = [
            p for p in self.get_params(ctx) if isinstance(p, click.Option) and p is not own_help
        ]
        parser = click.Command(self.name, params=options).make_parser(ctx)
        parser.allow_interspersed_args = False
        return parser.parse_args(list(args))[1]
