"""The commands that a shell script would run, in order, with their words as far as they are known.  Nothing is run."""

from .builtins import ASSIGNMENT, BUILTINS, DECLARATIONS, declare
from .commands import Body, Branch, Command, Loop, Pipeline, Simple
from .conditions import judge_test, substitute
from .expand import expand_word, here_text
from .scope import Scope
from .state import State, Trace
from .syntax import parse_script
from .word import Word, join_words

_MOST_ROUNDS = 64  # of a loop
_MOST_COMMANDS = 5_000
_DEEPEST = 20  # functions that call functions


def trace_script(text: str, scope: Scope) -> Trace:
    """Return the commands that a script would run in `scope`, which holds its variables afterwards.

    >>> script = 'N=4\\nexport OMP_NUM_THREADS=$((32 / N))\\nARGS=(--lr 1e-4)\\n[ -z "$N" ] && N=1\\nA=1 python t.py "${ARGS[@]}"'
    >>> [command.text for command in trace_script(script, Scope()).commands]
    ['export OMP_NUM_THREADS=8', 'A=1 python t.py --lr 1e-4']
    """
    scope.substitute = substitute
    tracer = _Tracer(scope)
    tracer.run(parse_script(text))
    return tracer.state.trace


class _Tracer:
    def __init__(self, scope: Scope) -> None:
        self.state = State(scope, self.run)

    def run(self, body: Body) -> bool | None:
        status: bool | None = True
        for pipeline in body:
            if self.state.is_over or self.state.jump or len(self.state.trace.commands) > _MOST_COMMANDS:
                break
            if (pipeline.joint == "&&" and status is False) or (pipeline.joint == "||" and status is True):
                continue
            is_open = pipeline.joint != ";" and status is None
            if is_open:
                self.state.doubts.append("it depends on a condition in the same line")
            status = self.run_pipeline(pipeline)
            if is_open:
                self.state.doubts.pop()
        return status

    def run_pipeline(self, pipeline: Pipeline) -> bool | None:
        status: bool | None = True
        for command in pipeline.commands:
            status = self.run_command(command)
        return status if len(pipeline.commands) == 1 else True

    def run_command(self, command: Command) -> bool | None:
        if isinstance(command, Simple):
            return self.run_simple(command)
        if isinstance(command, Branch):
            return self.run_branch(command)
        if isinstance(command, Loop):
            return self.run_loop(command)
        if command.name:
            self.state.functions[command.name] = command.body
            return True
        return self.run(command.body)

    def run_branch(self, branch: Branch) -> bool | None:
        subject = expand_word(branch.subject, self.state.scope, splits=False)[0] if branch.subject else None
        is_certain = True
        for condition, body in branch.branches:
            holds = self.judge(condition, subject)
            if holds is False:
                continue
            if holds and is_certain:
                return self.run(body)
            is_certain = False
            self.state.doubts.append(
                f"it depends on a condition that only the run knows (line {branch.line})"
            )
            self.run(body)
            self.state.doubts.pop()
            if holds:
                break
        return True

    def judge(self, condition: Body | tuple[str, ...] | None, subject: Word | None) -> bool | None:
        if condition is None:
            return True
        if subject is None:
            return self.run(condition)  # type: ignore[arg-type]
        patterns = [expand_word(str(raw), self.state.scope, splits=False)[0] for raw in condition]
        if any(pattern.text == "*" for pattern in patterns):
            return True
        if not subject.is_known:
            return None
        words = ["[[", _quoted(subject.text), "==", ""]
        return any(
            judge_test([*words[:3], pattern.text, "]]"], self.state.scope) is True for pattern in patterns
        )

    def run_loop(self, loop: Loop) -> bool | None:
        if loop.name is None:
            self.state.rounds.append(f"it stands in a loop (line {loop.line})")
            self.run_while(loop)
            self.state.rounds.pop()
            return True
        words = [word for raw in loop.words for word in expand_word(raw, self.state.scope)][:_MOST_ROUNDS]
        if len(words) > 1:
            values = " ".join(word.text for word in words)
            self.state.rounds.append(f"it is started for each {loop.name} in {values} (line {loop.line})")
        for word in words:
            self.state.scope.variables[loop.name] = word
            if self.run_round(loop.body) == "break":
                break
        if len(words) > 1:
            self.state.rounds.pop()
        return True

    def run_while(self, loop: Loop) -> None:
        """Go round as long as the condition is known to hold; where it is not known, once and in doubt."""
        first_end: int | None = None
        for _ in range(_MOST_ROUNDS):
            holds = self.run(loop.condition) if loop.condition else None
            if holds is None:
                self.state.doubts.append(self.state.rounds[-1])
                self.run_round(loop.body)
                self.state.doubts.pop()
                return
            if holds is loop.is_until or self.run_round(loop.body) == "break" or self.state.is_over:
                return
            first_end = first_end or len(self.state.trace.commands)
        del self.state.trace.commands[first_end:]  # for ever: one round says what it does

    def run_round(self, body: Body) -> str:
        """Run the body of a loop, and return how it was left: "break", "continue", or "" at its end."""
        self.run(body)
        jump, self.state.jump = self.state.jump, ""
        return jump

    def run_simple(self, simple: Simple) -> bool | None:
        raws = list(simple.words)
        lines = [0] * len(raws) if self.state.sourced else list(simple.lines)
        if raws and (raws[0] in ("[", "[[", "test") or raws[0].startswith("((")):
            return judge_test(raws, self.state.scope)
        assigned: list[tuple[str, Word]] = []
        while raws and (match := ASSIGNMENT.fullmatch(raws[0])):
            raws.pop(0)
            value = self.state.value_of(match, lines.pop(0))
            assigned.append((match[1], value if isinstance(value, Word) else join_words(value)))
            if all(ASSIGNMENT.fullmatch(raw) for raw in simple.words):
                self.state.assign(match[1], value)
        if not raws:
            return True
        if raws[0] in DECLARATIONS:
            declare(raws, self.state, simple.line, lines)
            return True
        words = tuple(
            word
            for raw, line in zip(raws, lines, strict=True)
            for word in expand_word(raw, self.state.scope, line=line)
        )
        self.write_files(simple, words)
        return self.call(words, assigned, simple) if words else True

    def call(self, words: tuple[Word, ...], assigned: list[tuple[str, Word]], simple: Simple) -> bool | None:
        state, program, arguments = self.state, words[0].text, words[1:]
        if program in state.functions and state.depth < _DEEPEST:
            before, state.scope.arguments = state.scope.arguments, arguments
            state.depth += 1
            status = self.run(state.functions[program])
            state.depth -= 1
            state.scope.arguments = before
            return status
        if program in BUILTINS:
            return BUILTINS[program](arguments, simple, state)
        state.emit(words, tuple(assigned), simple.line)
        return None if program in ("command", "which", "type", "grep") else True

    def write_files(self, simple: Simple, words: tuple[Word, ...]) -> None:
        targets = [r.target for r in simple.redirections if r.operator in (">", ">|", ">>")]
        documents = [r for r in simple.redirections if r.body is not None]
        names = [expand_word(raw, self.state.scope, splits=False)[0].text for raw in targets]
        if words[:1] == (Word.of("tee"),) and len(words) > 1:
            names = [words[-1].text]
        for name in names:
            if documents:
                self.state.trace.files[name] = here_text(documents[-1], self.state.scope)
            elif words[:1] == (Word.of("echo"),):
                self.state.trace.files[name] = join_words(words[1:])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
