"""A recipe: what a script or a config of other programs says, in the keys of the job file, each value with its source."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self


@dataclass(frozen=True)
class Setting:
    """One key of the job file: `training.epochs`, its value, and where it was read: `run.sh line 12: --epochs 3`."""

    key: str
    value: Any
    source: str


@dataclass(frozen=True)
class Question:
    """A key of the job file that the sources leave open, why it has to be known, and a proposal if there is one."""

    key: str
    why: str
    proposal: Any = None


@dataclass(frozen=True)
class Recipe:
    """Settings by their keys, the questions that are left, and remarks on everything that became no setting.

    The keys are those of the job file; `submit.time` is an option of `submit`, and a question on `run.arguments` or
    `run.runs` is one on the command.

    >>> line = Recipe.of(Setting("training.epochs", 1, "run.sh line 3: --num_train_epochs 1"))
    >>> config = Recipe.of(Setting("training.epochs", 3, "sft.yaml line 9"), Setting("training.batch_size", 8, "sft.yaml line 4"))
    >>> {key: setting.value for key, setting in line.over(config).settings.items()}
    {'training.epochs': 1, 'training.batch_size': 8}
    """

    settings: Mapping[str, Setting] = field(default_factory=dict)
    questions: tuple[Question, ...] = ()
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, *settings: Setting, remarks: tuple[str, ...] = ()) -> Self:
        """Return a recipe of these settings; of two with one key the later wins."""
        return cls({setting.key: setting for setting in settings}, remarks=remarks)

    def over(self, weaker: "Recipe") -> "Recipe":
        """Return both recipes as one, in which this one's settings win, and answer the questions of the other."""
        settings = {**self.settings, **{k: s for k, s in weaker.settings.items() if k not in self.settings}}
        questions = {question.key: question for question in (*weaker.questions, *self.questions)}
        left = tuple(question for question in questions.values() if question.key not in settings)
        return Recipe(settings, left, tuple(dict.fromkeys((*self.remarks, *weaker.remarks))))

    def asking(self, *questions: Question) -> "Recipe":
        """Return this recipe with further questions; one on a key that is set takes the setting away."""
        keys = {question.key for question in questions}
        settings = {key: setting for key, setting in self.settings.items() if key not in keys}
        others = tuple(question for question in self.questions if question.key not in keys)
        return replace(self, settings=settings, questions=(*others, *questions))

    def without(self, *keys: str) -> "Recipe":
        """Return this recipe without the settings and questions of these keys."""
        settings = {key: setting for key, setting in self.settings.items() if key not in keys}
        return replace(
            self, settings=settings, questions=tuple(q for q in self.questions if q.key not in keys)
        )

    def set(self, setting: Setting) -> "Recipe":
        """Return this recipe with one setting in place of what it had."""
        return replace(self, settings={**self.settings, setting.key: setting})

    def noting(self, *remarks: str) -> "Recipe":
        """Return this recipe with further remarks."""
        return replace(self, remarks=tuple(dict.fromkeys((*self.remarks, *remarks))))

    def value(self, key: str) -> Any:
        """Return the value of a key; None if it is not set."""
        return self.settings[key].value if key in self.settings else None
