"""The commands of a shell script as a tree: simple commands, and what branches and loops hold.  Pure."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from .commands import Body, Branch, Command, Group, Loop, Pipeline, Redirection, Simple
from .tokens import Token, read_tokens

_ENDS = {"then", "elif", "else", "fi", "do", "done", "esac", "}"}
_REDIRECTION = re.compile(r"\d*(<<<|<<-?|>>|>&|<&|>\||<>|[<>])|&>>?")


def parse_script(text: str) -> Body:
    """Return the commands of a script in order; what is not closed ends with the script.

    >>> [pipeline.commands[0].words for pipeline in parse_script("cd x && python t.py | tee log")]
    [('cd', 'x'), ('python', 't.py')]
    """
    return _Parser(read_tokens(text)).body(frozenset())


class _Parser:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens, self.at = tokens, 0

    def peek(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def is_word(self, *texts: str) -> bool:
        token = self.peek()
        return token is not None and not token.is_operator and token.text in texts

    def skip(self, *texts: str) -> bool:
        """Skip a word or operator that is one of `texts`."""
        token = self.peek()
        if token is None or token.text not in texts:
            return False
        self.at += 1
        return True

    def body(self, ends: frozenset[str]) -> Body:
        pipelines: list[Pipeline] = []
        joint = ";"
        while (token := self.peek()) is not None:
            if token.text in ends:
                break
            if token.is_op("&&", "||"):
                joint = self.take().text
            elif (
                token.is_op("\n", ";", "&") or self.is_word("!") or (token.text in _ENDS | {")"} and not ends)
            ):
                self.at += 1
            elif token.is_op(")", ";;", ";&", ";;&"):
                break
            else:
                before = self.at
                pipelines.append(Pipeline(self.pipeline(ends), joint))
                joint = ";"
                self.at = max(self.at, before + 1)
        return tuple(pipelines)

    def pipeline(self, ends: frozenset[str]) -> tuple[Command, ...]:
        commands = [self.command(ends)]
        while self.skip("|", "|&"):
            while self.skip("\n"):
                pass
            commands.append(self.command(ends))
        return tuple(commands)

    def command(self, ends: frozenset[str]) -> Command:
        token = self.peek()
        if token is None:
            return Simple((), (), 0)
        readers: dict[str, Callable[[int], Command]] = {
            "if": self.branch,
            "case": self.case,
            **dict.fromkeys(("for", "select"), self.loop),
            "while": self.while_loop,
            "until": lambda line: replace(self.while_loop(line), is_until=True),
            **dict.fromkeys(("{", "("), self.group),
            "function": self.function,
        }
        if token.text in readers and (not token.is_operator or token.text == "("):
            self.at += 1
            command = readers[token.text](token.line)
            self.redirections()  # of the whole
            return command
        following = self.tokens[self.at + 1 : self.at + 3]
        if [t.text for t in following] == ["(", ")"] and not token.is_operator:
            return self.function(token.line)
        return self.simple(ends)

    def simple(self, ends: frozenset[str]) -> Simple:
        words: list[str] = []
        lines: list[int] = []
        redirections: list[Redirection] = []
        line = self.tokens[self.at].line
        while (token := self.peek()) is not None:
            in_test = words[:1] == ["[["] and "]]" not in words
            if token.is_operator and _REDIRECTION.fullmatch(token.text) and not in_test:
                redirections += self.redirections()
            elif token.is_operator and not (in_test and token.text != "\n"):
                break
            else:
                lines.append(token.line)
                words.append(self.take().text)
        if not words and not redirections and (ends or self.peek()):
            self.at += 1  # an operator out of place
        return Simple(tuple(words), tuple(redirections), line, tuple(lines))

    def redirections(self) -> list[Redirection]:
        redirections = []
        while (token := self.peek()) and token.is_operator and _REDIRECTION.fullmatch(token.text):
            self.at += 1
            target = self.take().text if self.peek() and not self.tokens[self.at].is_operator else ""
            redirections.append(Redirection(token.text.lstrip("0123456789"), target, token.body, token.line))
        return redirections

    def branch(self, line: int) -> Branch:
        branches: list[tuple[Body | tuple[str, ...] | None, Body]] = []
        condition: Body | None = self.body(frozenset({"then"}))
        while True:
            self.skip("then")
            branches.append((condition, self.body(frozenset({"elif", "else", "fi"}))))
            if self.skip("elif"):
                condition = self.body(frozenset({"then"}))
            elif self.skip("else"):
                condition = None
            else:
                self.skip("fi")
                return Branch(tuple(branches), None, line)

    def case(self, line: int) -> Branch:
        subject = self.take().text if self.peek() else ""
        branches: list[tuple[Body | tuple[str, ...] | None, Body]] = []
        self._skip_lines()
        self.skip("in")
        while self._skip_lines() and not self.skip("esac"):
            patterns: list[str] = []
            self.skip("(")
            while (token := self.peek()) and not token.is_op(")"):
                patterns += [] if token.is_op("|", "\n") else [token.text]
                self.at += 1
            self.skip(")")
            branches.append((tuple(patterns), self.body(frozenset({"esac", ";;", ";&", ";;&"}))))
            self.skip(";;", ";&", ";;&")
        return Branch(tuple(branches), subject, line)

    def _skip_lines(self) -> bool:
        while self.skip("\n", ";"):
            pass
        return self.peek() is not None

    def loop(self, line: int) -> Loop:
        name = self.take().text if self.peek() else ""
        if name.startswith("((") or not (self.is_word("in", "do") or self._ends_line()):  # a b in: zsh
            while self.peek() and not self._ends_line() and not self.is_word("do"):
                self.at += 1
            return Loop(None, (), self._loop_body(), line)
        self._skip_lines()
        words: list[str] = ['"$@"']
        if self.skip("in"):
            words = []
            while (token := self.peek()) and not token.is_operator:
                words.append(self.take().text)
        return Loop(name, tuple(words), self._loop_body(), line)

    def while_loop(self, line: int) -> Loop:
        condition = self.body(frozenset({"do"}))
        return Loop(None, (), self._loop_body(), line, condition)

    def _ends_line(self) -> bool:
        token = self.peek()
        return token is not None and token.is_op("\n", ";")

    def _loop_body(self) -> Body:
        self._skip_lines()
        self.skip("do")
        body = self.body(frozenset({"done"}))
        self.skip("done")
        return body

    def group(self, line: int) -> Group:
        closing = "}" if self.tokens[self.at - 1].text == "{" else ")"
        body = self.body(frozenset({closing}))
        self.skip(closing)
        return Group(None, body, line)

    def function(self, line: int) -> Group:
        name = self.take().text
        self.skip("(")
        self.skip(")")
        self._skip_lines()
        self.skip("{")
        body = self.body(frozenset({"}"}))
        self.skip("}")
        return Group(name, body, line)
