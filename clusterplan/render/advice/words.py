"""May a training stop: what to do, in one sentence."""

from collections.abc import Callable, Mapping
from typing import Protocol

from ...cluster_profiles.units import format_count, join_names, plural
from ...estimator.stopping.advice import Rules, State, StopAdvice
from ...estimator.stopping.curve import Curve
from ...estimator.stopping.savings import Price, Savings
from ...estimator.stopping.schedule import Phase
from ...estimator.stopping.validation import CONFIRMATIONS


class Answer(Protocol):
    """What the advice is made of: the `Advice` of clusterplan/api/advise.py."""

    @property
    def judgement(self) -> StopAdvice: ...
    @property
    def curve(self) -> Curve: ...
    @property
    def rules(self) -> Rules: ...
    @property
    def price(self) -> Price: ...
    @property
    def left(self) -> Savings | None: ...
    @property
    def since_best(self) -> Savings | None: ...
    @property
    def origin(self) -> str: ...
    @property
    def trainers_choice(self) -> str | None: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...


def say_what_to_do(answer: Answer) -> str:
    """Return one sentence: the state, and what to do."""
    return _SENTENCES[answer.judgement.state](answer)


def _improving(answer: Answer) -> str:
    if answer.judgement.step >= answer.judgement.end:
        return "improving up to its last step: a longer schedule would gain more"
    return "improving: go on"


def _plateau_high_lr(answer: Answer) -> str:
    decay = "let its decay end" if _is_decaying(answer.curve) else "start its decay, or shorten the schedule"
    return f"plateau at a high learning rate: do not stop yet; {decay}, because a decay still lowers the loss"


def _stop_confirmed(answer: Answer) -> str:
    least = f"{answer.rules.min_gain * 100:.3g} %"
    return f"plateau, confirmed by validation: you may stop; the rest would gain less than {least}"


def _is_decaying(curve: Curve) -> bool:
    """Whether the learning rate falls between the last two points."""
    before, now = curve.learning_rates[-2:][0], curve.learning_rates[-1]
    return now.value < before.value


def _best_checkpoint(answer: Answer) -> str:
    best = answer.judgement.validations.best.step if answer.judgement.validations else 0
    worse = (
        f"take the checkpoint of step {format_count(best)}: {answer.curve.validation_name} got worse since"
    )
    if answer.judgement.phase is Phase.HIGH and not answer.rules.is_lr_constant:
        worse += ", at a high learning rate, whose decay may still lower it"
    return worse + _still(answer)


def _still(answer: Answer) -> str:
    judgement = answer.judgement
    if not judgement.still_improving:
        return ""
    names = join_names(judgement.still_improving)
    verb = "improves" if len(judgement.still_improving) == 1 else "improve"
    choice = answer.trainers_choice
    by = f"; the trainer chose its best checkpoint by {choice}" if choice in judgement.still_improving else ""
    return f"; but {names} still {verb}: if that counts, give it with --metric{by}"


def _what_confirms(answer: Answer) -> str:
    """The first thing that stands against a stop."""
    judgement, validations = answer.judgement, answer.judgement.validations
    if judgement.step >= judgement.end:
        return "the training is at its last step, so a stop saves nothing"
    if validations is None:
        return f"do not stop yet; nothing validates: log a validation loss, and wait for {CONFIRMATIONS} without an improvement"
    if validations.confirmations < CONFIRMATIONS:
        return f"do not stop yet; {validations.confirmations} of {CONFIRMATIONS} validations are without an improvement: wait for the others"
    if not answer.rules.is_lr_constant:
        if judgement.phase is Phase.NOT_LOGGED:
            return "do not stop yet; the learning rate is not in the log: if it will not decay any more, say it with --constant-lr"
        if judgement.phase is Phase.LOW_WITHOUT_END:
            return "do not stop yet; the learning rate may fall again, or restart: if it stays, say it with --constant-lr"
    return "do not stop yet; validations are still too noisy, or too close together, to exclude a gain: wait for more of them"


def _what_is_missing(curve: Curve) -> str:
    count = len(curve.losses) + len(curve.validations)
    if not count:
        return "no loss is logged: log one with `track`, or give trainer_state.json, a CSV or a log"
    return f"{plural(count, 'value')} of the loss {'is' if count == 1 else 'are'} too few for a trend: log it more often"


def gain_scale(answer: Answer) -> float:
    """The value of which the minimum gain is a share."""
    judgement = answer.judgement
    if judgement.validations and judgement.gain_of == answer.curve.validation_name:
        return abs(judgement.validations.best.value) or 1.0
    return abs(judgement.loss or 0.0) or 1.0


_SENTENCES: Mapping[State, Callable[[Answer], str]] = {
    State.WARMING: lambda _: "warming up: too early to tell, go on",
    State.IMPROVING: _improving,
    State.PLATEAU_HIGH_LR: _plateau_high_lr,
    State.PLATEAU_UNCONFIRMED: lambda answer: f"plateau, unconfirmed: {_what_confirms(answer)}",
    State.STOP_CONFIRMED: _stop_confirmed,
    State.OVERFITTING: lambda answer: f"overfitting: {_best_checkpoint(answer)}",
    State.DIVERGED: lambda _: (
        "diverged: go back to a checkpoint before, with a lower learning rate; going on repairs nothing"
    ),
    State.UNKNOWN: lambda answer: f"unknown: {_what_is_missing(answer.curve)}",
}
