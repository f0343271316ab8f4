"""The section of the job file on the data: their size, and the share that is trained on."""

from fractions import Fraction
from typing import Self

from pydantic import Field, model_validator

from ...cluster_profiles.profile import Count
from ...cluster_profiles.toml_file import Section
from ...cluster_profiles.units import ceil_div
from .fields import Exact, flag

_MOST_SAMPLES, _MOST_TOKENS = 10**15, 10**17


class Data(Section):
    """The size of the data; it may be left out where training.max_steps is the length of the run."""

    samples: Count | None = flag(None, "--samples", "N", "Samples per epoch.", gt=0, le=_MOST_SAMPLES)
    tokens: Count | None = flag(
        None,
        "--tokens",
        "N",
        "Tokens per epoch, instead of samples; needs seq_len.",
        gt=0,
        le=_MOST_TOKENS,
    )
    seq_len: Count | None = flag(None, "--seq-len", "N", "Tokens per sample.", gt=0, le=10**8)
    packing: Exact = Field(
        Fraction(1),
        gt=0,
        le=1,
        description="Share of each packed sequence that holds tokens of the data; it needs `tokens`.",
    )
    validation_share: Exact = Field(
        Fraction(0),
        ge=0,
        lt=1,
        description="Share of the samples that is held out for validation and not trained on, rounded up to whole samples.",
    )

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.samples is not None and self.tokens is not None:
            raise ValueError("samples and tokens are both given; give one of them")
        if self.tokens is not None and self.seq_len is None:
            raise ValueError("tokens need seq_len: the tokens per sample")
        if self.packing != 1 and self.tokens is None:
            raise ValueError("packing belongs to tokens: give the size of the data in tokens")
        if self.training_samples == 0:
            raise ValueError(
                f"validation_share {float(self.validation_share):g} of {self.sequences:,} samples leaves none for training: "
                "give a smaller one"
            )
        return self

    @property
    def sequences(self) -> int | None:
        """Return the samples per epoch: as stated, or ceil(tokens / (seq_len * packing)); None if that is not known."""
        if self.samples is not None or self.tokens is None or self.seq_len is None:
            return self.samples
        return ceil_div(self.tokens * self.packing.denominator, self.seq_len * self.packing.numerator)

    @property
    def training_samples(self) -> int | None:
        """Return the samples per epoch without ceil(validation_share x samples), as `train_test_split` rounds them.

        That is the function of datasets (axolotl's `val_set_size`) and of scikit-learn.
        """
        if self.sequences is None:
            return None
        return self.sequences - ceil_div(
            self.sequences * self.validation_share.numerator, self.validation_share.denominator
        )
