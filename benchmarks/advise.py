"""Walk through loss curves prefix by prefix, and count the stops that came too early, beside early stopping by patience.

    python benchmarks/advise.py --data FOLDER     # trainer_state.json files, and CSVs with one curve or several
    python benchmarks/advise.py                   # curves made up: 10 schedules, 2 noises of the validations, 5 seeds

A stop is early before the learning rate has decayed for good: to 10 % of its peak or less, up to the end, after its
last drop.  Where no learning rate is logged, that is the last step.  A stop is false if a later validation is better by
more than 1 % than the best until then.  Curves without validations are walked twice: as they are, and with every 8th
loss taken for a validation.

Patience is that of HF's EarlyStoppingCallback (transformers, trainer_callback.py: a validation that is not better than
the best counts; threshold 0) and of Lightning's EarlyStopping (patience 3, min_delta 0), which is the same rule.
"""

import argparse
import csv
import io
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from loss_curves import SCHEDULES, train

from clusterplan.estimator.stopping.advice import Rules, State, StopAdvice, advise_stop
from clusterplan.estimator.stopping.curve import Curve
from clusterplan.launcher.curves.assemble import Columns
from clusterplan.launcher.curves.read import read_training_log
from clusterplan.launcher.curves.table import parse_table

MIN_GAIN = 0.01
PREFIXES = 100
ALSO_VALIDATION = 8  # every 8th loss
Rule = Callable[[Curve], list[int]]  # the steps at which it says stop
COLUMNS = Columns({})


class Score(NamedTuple):
    """The stops of one rule on one curve: all, those before the last decay, those that are false."""

    stops: int
    early: int
    false: int
    first: int | None


def read_curves(folder: Path) -> Iterator[tuple[str, Curve]]:
    for path in sorted(folder.iterdir()):
        if path.name.endswith("trainer_state.json"):
            yield path.name.removesuffix(".trainer_state.json"), read_training_log(path, COLUMNS).curve
        elif path.suffix == ".csv" and path.stem.upper() != "MANIFEST":
            yield from read_tables(path)


def read_tables(path: Path) -> Iterator[tuple[str, Curve]]:
    """The curves of a CSV: one per value of its first column of words, if there is one."""
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    name = next((n for n in rows[0] if not is_number(rows[0][n]) and n not in {"kind", "split"}), None)
    groups = defaultdict(list)
    for row in rows:
        groups[row[name] if name else path.stem].append(row)
    for group, members in groups.items():
        kept = [n for n in members[0] if n in {"kind", "split"} or is_number(members[0][n])]
        text = io.StringIO()
        writer = csv.DictWriter(text, kept, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(members)
        curve = parse_table(text.getvalue(), path, COLUMNS).curve
        *_, before, last = sorted({p.step for p in (*curve.losses, *curve.validations)})
        yield group, curve.with_total(curve.total_steps or last + (last - before))


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def with_validations(curve: Curve) -> Curve:
    return replace(curve, validations=curve.losses[ALSO_VALIDATION - 1 :: ALSO_VALIDATION])


def last_decay(curve: Curve) -> int:
    """The step from which on the rate is low for good; the end if it is not logged."""
    rates = curve.learning_rates
    if not rates:
        return curve.total_steps or curve.step
    peak = max(rate.value for rate in rates)
    if all(rate.value > 0.99 * peak for rate in rates[len(rates) // 2 :]):
        return 0  # constant: there is no decay to wait for
    high = max(rate.step for rate in rates if rate.value > 0.101 * peak)
    drops = [b.step for a, b in pairwise(rates) if a.value - b.value > 0.05 * peak]
    return max(high, *drops[-1:], 0)


def walk(curve: Curve, rules: Rules) -> Iterator[tuple[int, StopAdvice]]:
    steps = sorted({p.step for p in curve.losses} | {p.step for p in curve.validations})
    for step in steps[:: max(len(steps) // PREFIXES, 1)]:
        yield step, advise_stop(curve.until(step), rules)


def by_advice(curve: Curve) -> list[int]:
    return [step for step, advice in walk(curve, Rules()) if advice.may_stop]


def by_advice_of_constant(curve: Curve) -> list[int]:
    return [step for step, advice in walk(curve, Rules(is_lr_constant=True)) if advice.may_stop]


def by_patience(patience: int) -> Rule:
    def rule(curve: Curve) -> list[int]:
        best, count, stops = float("inf"), 0, []
        for point in curve.cost_of(curve.validation_name, curve.validations):
            count = 0 if point.value < best else count + 1
            best = min(best, point.value)
            if count >= patience:
                stops.append(point.step)
        return stops[:1]  # it ends there

    return rule


def score(curve: Curve, stops: Sequence[int]) -> Score:
    values = curve.cost_of(curve.validation_name, curve.validations)
    early, false, decay = 0, 0, last_decay(curve)
    for stop in stops:
        best = min((p.value for p in values if p.step <= stop), default=float("inf"))
        later = min((p.value for p in values if p.step > stop), default=float("inf"))
        early += stop < decay
        false += later < best - MIN_GAIN * abs(best)
    return Score(len(stops), early, false, min(stops, default=None))


RULES: dict[str, Rule] = {
    "advise": by_advice,
    "HF EarlyStopping, patience 1": by_patience(1),
    "HF EarlyStopping, patience 3; Lightning, patience 3": by_patience(3),
}


def compare(title: str, curves: Sequence[tuple[str, Curve]], rules: dict[str, Rule]) -> None:
    print(f"\n{title}: {len(curves)} curves\n")
    print("| rule | curves it stops | stops before the last decay | false stops | share of the steps saved |")
    print("|---|---|---|---|---|")
    for name, rule in rules.items():
        scores = [(curve, score(curve, rule(curve))) for _, curve in curves]
        stops = sum(s.stops for _, s in scores)
        saved = [1 - s.first / (c.total_steps or c.step) for c, s in scores if s.first]
        shares = f"{100 * sum(saved) / len(saved):.0f} %" if saved else ""
        print(
            f"| {name} | {sum(s.stops > 0 for _, s in scores)} | {sum(s.early for _, s in scores)} of {stops} | "
            f"{sum(s.false for _, s in scores)} of {stops} | {shares} |"
        )


def show_states(curves: Sequence[tuple[str, Curve]]) -> None:
    print("\n| curve | states, each from the step at which it begins |\n|---|---|")
    for name, curve in curves:
        states: list[tuple[int, State]] = []
        for step, advice in walk(curve, Rules()):
            if not states or states[-1][1] is not advice.state:
                states.append((step, advice.state))
        print(f"| {name} | {', '.join(f'{state} {step:,}' for step, state in states)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of curves; default: curves made up")
    data = parser.parse_args().data
    if data:
        curves = list(read_curves(data))
        evaluated = [(name, curve) for name, curve in curves if curve.validations]
        others = [(name, curve) for name, curve in curves if not curve.validations]
        show_states(curves)
        compare("with validations", evaluated, RULES)
        compare("without validations", others, {"advise": by_advice})
        compare("every 8th loss as validation", [(n, with_validations(c)) for n, c in others], RULES)
        return
    made_up = [
        (f"{name} {noise:g} {seed}", train(schedule, evaluation_noise=noise, seed=seed))
        for name, schedule in SCHEDULES.items()
        for noise in (0.003, 0.02)
        for seed in range(5)
    ]
    decaying = [(name, curve) for name, curve in made_up if not name.startswith("constant")]
    constant = [(name, curve) for name, curve in made_up if name.startswith("constant")]
    compare("made up, decaying schedules", decaying, RULES)
    compare("made up, constant rate", constant, RULES | {"advise --constant-lr": by_advice_of_constant})


if __name__ == "__main__":
    main()
