"""The GPU catalogue: the peaks of each GPU type, with the source of every number.

Only the standard library is used here: the hardware checks read the catalogue on bare machines.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import InputError
from .mig import parse_slice
from .precision import Precision, best_precision

_TERA, _GIGA = 10**12, 10**9
_CATALOGUE = "gpus.toml"
_TYPO = (
    0.8  # likeness of two names, by difflib, from which one may be a misspelling of the other; our judgement
)
_DIGITS_OF_A_TYPE = 4  # as in 4090


@dataclass(frozen=True)
class Gpu:
    """One GPU model.

    `peak_flops` holds dense rates with fp32 accumulation, in FLOP/s; a precision that is absent is not native.
    `compute_capability` is None of a GPU that is not NVIDIA's.  `sources` maps each numeric field of gpus.toml to a
    public address, or to "unverified".
    """

    key: str
    name: str
    nvml_names: tuple[str, ...]
    slurm_names: tuple[str, ...]
    compute_capability: tuple[int, int] | None
    memory_bytes: int
    bandwidth_bytes_per_s: float
    tdp_w: float
    peak_flops: Mapping[Precision, float]
    sources: Mapping[str, str]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the numbers as plain dicts, because a MappingProxyType cannot be pickled."""
        return _unpickle, (
            {**vars(self), "peak_flops": dict(self.peak_flops), "sources": dict(self.sources)},
        )

    def best_precision(self) -> Precision:
        """Return the meaning of `precision = "auto"`: bf16 where it is native, otherwise fp16, otherwise fp32."""
        if Precision.BF16 in self.peak_flops:
            return Precision.BF16
        return best_precision(self.compute_capability) if self.compute_capability else Precision.FP32

    def answers_to(self, name: str) -> bool:
        """Return whether `name` is a name of this GPU for people, NVML or Slurm; case and punctuation do not matter."""
        return plain_name(name) in {plain_name(known) for known in self.names}

    @property
    def names(self) -> tuple[str, ...]:
        """Return every name of this GPU."""
        return (self.key, self.name, *self.nvml_names, *self.slurm_names)


def _unpickle(values: dict[str, Any]) -> Gpu:
    frozen = {name: MappingProxyType(values[name]) for name in ("peak_flops", "sources")}
    return Gpu(**values | frozen)


@cache
def plain_name(name: str) -> str:
    """Return the letters and digits of a GPU's name: names are the same if these are.

    People write 80G for 80GB (an A10G is another GPU than an A10), and NVML puts MIG into the name of a slice.

    >>> plain_name("NVIDIA H100 80GB HBM3 MIG 1g.10gb") == plain_name("nvidia_h100_80gb_hbm3_1g.10gb")
    True
    """
    with_unit = re.sub(r"(?<![a-z0-9])(\d{2,3})g(?![a-z0-9])", r"\1gb", name.lower())
    without_mig = re.sub(r" mig (?=\d)", " ", with_unit)
    return "".join(c for c in without_mig if c.isalnum()).removeprefix("nvidia")


def _gpu(key: str, entry: Mapping[str, Any], sources: Mapping[str, str]) -> Gpu:
    numbers = {field: value for field, value in entry.items() if field not in {"name", "nvml", "slurm"}}
    value = {field: pair[0] for field, pair in numbers.items()}
    major, _, minor = value.get("compute_capability", "").partition(".")
    return Gpu(
        key=key,
        name=entry["name"],
        nvml_names=tuple(entry["nvml"]),
        slurm_names=tuple(entry["slurm"]),
        compute_capability=(int(major), int(minor)) if major else None,
        memory_bytes=int(value["memory_gb"] * _GIGA),
        bandwidth_bytes_per_s=value["bandwidth_gb_s"] * _GIGA,
        tdp_w=value["tdp_w"],
        peak_flops=MappingProxyType(
            {p: value[f"{p}_tflops"] * _TERA for p in Precision if f"{p}_tflops" in value}
        ),
        sources=MappingProxyType({field: sources.get(pair[1], pair[1]) for field, pair in numbers.items()}),
    )


@cache
def read_gpus() -> Mapping[str, Gpu]:
    """Return every GPU of the catalogue by its key.

    >>> read_gpus()["a100-sxm4-80gb"].peak_flops[Precision.BF16] / 1e12
    312.0
    """
    text = Path(__file__).with_name(_CATALOGUE).read_text(encoding="utf-8")
    catalogue = tomllib.loads(text)
    return MappingProxyType(
        {key: _gpu(key, entry, catalogue["sources"]) for key, entry in catalogue["gpus"].items()}
    )


def match_gpus(name: str) -> tuple[Gpu, ...]:
    """Return every GPU that people, NVML or Slurm call `name`: a name in Slurm often means several.

    >>> {gpu.compute_capability for gpu in match_gpus("v100")}
    {(7, 0)}
    """
    return tuple(gpu for gpu in read_gpus().values() if gpu.answers_to(name))


def shared_precision(possible_gpus: Sequence[Gpu]) -> Precision | None:
    """Return the meaning of `precision = "auto"` on any of these GPUs; None if it differs, or without a GPU.

    >>> shared_precision(match_gpus("a100"))
    <Precision.BF16: 'bf16'>
    """
    best = {gpu.best_precision() for gpu in possible_gpus}
    return best.pop() if len(best) == 1 else None


def may_be_same_gpu(name: str, other: str) -> bool:
    """Return whether two names may mean one GPU type; they need not be in the catalogue.

    >>> may_be_same_gpu("a100", "NVIDIA A100-SXM4-80GB"), may_be_same_gpu("RTX A5000", "rtx_a5000")
    (True, True)

    A slice is never its GPU, and one whose name says no GPU may be of any.

    >>> may_be_same_gpu("1g.10gb", "nvidia_h100_80gb_hbm3_1g.10gb"), may_be_same_gpu("h100", "h100_1g.10gb")
    (True, False)
    """
    cut, other_cut = parse_slice(name), parse_slice(other)
    if cut and other_cut:
        of_one = not (cut.gpu and other_cut.gpu) or may_be_same_gpu(cut.gpu, other_cut.gpu)
        return plain_name(cut.profile) == plain_name(other_cut.profile) and of_one
    return plain_name(name) == plain_name(other) or any(gpu.answers_to(other) for gpu in match_gpus(name))


def gpu_type(name: str) -> str:
    """Return the key of the one GPU that is called `name`, otherwise `name` as it is stated.

    >>> gpu_type("NVIDIA H100 80GB HBM3"), gpu_type("a100"), gpu_type("mygpu")
    ('h100-sxm', 'a100', 'mygpu')
    """
    keys = [gpu.key for gpu in _matches(name)]
    return keys[0] if len(keys) == 1 else name


def find_gpu(name: str) -> Gpu:
    """Return the GPU that people, NVML or Slurm call `name`.  Raises InputError if no GPU, or more than one, has that name.

    >>> find_gpu("NVIDIA H100 80GB HBM3").key
    'h100-sxm'
    """
    matches = _matches(name)
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise InputError(f"GPU {name!r} is ambiguous: give one of {', '.join(gpu.key for gpu in matches)}")
    raise InputError(f"GPU {name!r} is not in the catalogue")


def check_is_type(name: str, example: str = "a100-sxm4-80gb") -> None:
    """Raise InputError if `name` is a number of GPUs rather than a type, which has letters or four digits."""
    if name.isdecimal() and len(name) < _DIGITS_OF_A_TYPE:
        raise InputError(
            f"GPU {name!r} is a number; the number of GPUs is --gpus: give a type, such as {example}"
        )


def nearest_gpus(name: str) -> list[str]:
    """Return the GPUs whose name `name` begins, continues or misspells; none for a slice, or a type that is another one.

    Digits tell types apart, so their first number must be equal: an a800 is no a100.

    >>> nearest_gpus("a100-smx4-80gb"), nearest_gpus("h100-sxm5"), nearest_gpus("a900")
    (['a100-sxm4-80gb'], ['h100-sxm'], [])
    """
    import difflib  # noqa: PLC0415  difflib, for a wrong name only

    def likeness(gpu: Gpu) -> float:
        best = 0.0
        for known in gpu.names:
            plain, wrong = plain_name(known), plain_name(name)
            if _first_number(plain) == _first_number(wrong):
                ratio = difflib.SequenceMatcher(None, plain, wrong).ratio()
                shorter, longer = sorted((plain, wrong), key=len)
                is_part = longer.startswith(shorter) and not longer[len(shorter) :][:1].isdecimal()
                best = max(best, ratio if ratio >= _TYPO or is_part else 0.0)
        return best

    if parse_slice(name):
        return []
    ranked = {gpu.key: likeness(gpu) for gpu in read_gpus().values()}
    most = max(ranked.values())
    return [key for key, ratio in ranked.items() if ratio and ratio == most]


def _matches(name: str) -> tuple[Gpu, ...]:
    """The GPU whose key, or whose name in NVML, this is; otherwise every GPU that is called so."""
    exact = (
        gpu
        for gpu in read_gpus().values()
        if plain_name(gpu.key) == plain_name(name) or name in gpu.nvml_names
    )
    return tuple(exact) or match_gpus(name)


def _first_number(plain: str) -> str:
    digits = re.search(r"\d+", plain)
    return digits[0] if digits else ""
