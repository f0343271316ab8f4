"""The section of the job file on the data: their size, and the share that is trained on."""

from fractions import Fraction
from typing import Self

from pydantic import Field, model_validator

from ...cluster_profiles.files.toml_file import Section
from ...cluster_profiles.profile import Count
from ...cluster_profiles.units import ceil_div
from .fields import Exact, Length, PackedShare, flag

_MOST_SAMPLES, _MOST_TOKENS = 10**15, 10**17


class Data(Section):
    """The size of the data; it may be left out where training.max_steps is the length of the run."""

    samples: Count | None = flag(None, "--samples", "N", "Samples per epoch.", gt=0, le=_MOST_SAMPLES)
    tokens: Count | None = flag(
        None,
        "--tokens",
        "N",
        "Tokens per epoch, instead of samples; needs seq_len or mean_tokens.",
        gt=0,
        le=_MOST_TOKENS,
    )
    seq_len: Length | None = flag(
        None,
        "--seq-len",
        "N",
        "Tokens per sample, those of the longest; images count too. 8k is 8,192.",
        gt=0,
        le=10**8,
    )
    mean_tokens: Length | None = Field(
        None,
        gt=0,
        le=10**8,
        description="Mean tokens per sample: text, images (576 each in LLaVA-1.5) and padding. Time goes by the mean, memory "
        "by `seq_len`. Default: `seq_len`.",
    )
    packing: PackedShare = Field(
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
        if self.tokens is not None and self.tokens_per_sample is None:
            raise ValueError("tokens need seq_len or mean_tokens: the tokens per sample")
        if self.mean_tokens and self.seq_len and self.mean_tokens > self.seq_len:
            raise ValueError(
                f"mean_tokens {self.mean_tokens} are more than seq_len {self.seq_len}, the longest"
            )
        if self.mean_tokens and self.packing != 1:
            raise ValueError(
                "packing and mean_tokens are both given: packed samples have seq_len tokens each"
            )
        if self.packing != 1 and self.tokens is None:
            raise ValueError(
                "packing belongs to tokens: give tokens and seq_len, or count the packed sequences as samples and leave "
                "packing out"
            )
        if self.training_samples == 0:
            raise ValueError(
                f"validation_share {float(self.validation_share):g} of {self.sequences:,} samples leaves none for training: "
                "give a smaller one"
            )
        return self

    @property
    def tokens_per_sample(self) -> int | None:
        """Return the tokens by which time goes: the mean, otherwise `seq_len`."""
        return self.mean_tokens or self.seq_len

    @property
    def sequences(self) -> int | None:
        """Return the samples per epoch: as stated, or ceil(tokens / (tokens per sample * packing)); None if not known."""
        length = self.tokens_per_sample
        if self.samples is not None or self.tokens is None or length is None:
            return self.samples
        return ceil_div(self.tokens * self.packing.denominator, length * self.packing.numerator)

    @property
    def training_samples(self) -> int | None:
        """Return the samples per epoch without those for validation, ceil(validation_share x samples) as `train_test_split`.

        That is the function of datasets (axolotl's `val_set_size`) and of scikit-learn.
        """
        if self.sequences is None:
            return None
        return self.sequences - self.validation_samples

    @property
    def validation_samples(self) -> int:
        """Return the samples that are held out for validation; 0 if the size of the data is not known."""
        share = self.validation_share
        return ceil_div((self.sequences or 0) * share.numerator, share.denominator)
