"""Adapters and quantised base weights, which the job file needs numbers for that no config has.  Pure."""

from ...arguments import Arguments
from ...recipe import Recipe

_LORA = ("lora", "qlora", "oft", "adalora", "dora", "longlora")


def note_adapter(method: str, method_source: str, bits: int | None, bits_source: str) -> Recipe:
    """Return what is left to say of an adapter by the name of its method, and of base weights in 4 or 8 bits.

    >>> note_adapter("lora", "sft.yaml line 3: adapter", 4, "sft.yaml line 5: load_in_4bit").remarks
    ('sft.yaml line 3: adapter (lora): memory needs architecture.trainable_parameters, which the model decides; with it also base_bits = 4 (sft.yaml line 5: load_in_4bit)',)
    """
    if method.lower() not in _LORA and not bits:
        return Recipe()
    also = f"; with it also base_bits = {bits} ({bits_source})" if bits else ""
    need = "memory needs architecture.trainable_parameters, which the model decides"
    return Recipe(remarks=(f"{method_source} ({method}): {need}{also}",))


def name_model(arguments: Arguments, *names: str) -> str | None:
    """Return the last part of the model's name or path, as the runs of one model are known by.

    >>> from clusterplan.launcher.recipes.arguments import list_arguments
    >>> name_model(list_arguments({"base_model": "org/Llama-3-8B"}, "x.yaml", {}), "base_model")
    'Llama-3-8B'
    """
    name = next((str(arguments[name].value) for name in names if name in arguments), "")
    last = name.strip().rstrip("/").rpartition("/")[2]
    return last if last and "$" not in last else None
