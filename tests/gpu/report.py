"""Measure on one NVIDIA GPU what clusterplan says without one, and print a page in Markdown for the docs: `make gpu`.

It takes at most 8 minutes and no network.  It needs clusterplan's dependencies, pynvml, and torch for the parts that
compute; a part that lacks something says what.  `--device cpu` is a dry run with tiny sizes: it shows that the script
works, and its figures mean nothing.
"""

import argparse
import contextlib
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))  # a plain checkout is enough


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    is_dry = parser.parse_args().device == "cpu"
    with contextlib.ExitStack() as stack:
        device, driver, no_gpu = _open_gpu(stack)
        if device is None and not is_dry:
            print(f"skipped: {no_gpu}")
            return
        torch, no_torch = _import_torch(is_dry=is_dry)
        print("\n".join(_head(device, driver, torch, is_dry=is_dry)))
        parts: list[tuple[str, str | None, Callable[[], Iterator[str]]]] = [
            ("The catalogue", no_gpu, lambda: import_module("nvml_part").compare_catalogue(device)),
            ("NVML", no_gpu, lambda: import_module("nvml_part").time_calls(device)),
            ("Rates", no_torch, lambda: import_module("torch_part").measure_rates(torch, device)),
            ("A transformer", no_torch, lambda: import_module("transformer_part").train(torch, device)),
        ]
        for title, missing, part in parts:
            print(f"\n## {title}\n")
            try:
                for line in [f"Skipped: {missing}."] if missing else part():
                    print(line, flush=True)
            except ImportError as error:
                print(f"Skipped: {error}.")


def _open_gpu(stack: contextlib.ExitStack) -> tuple[Any, str | None, str | None]:
    """Return the first GPU of this job and the driver's version, or the reason why there is none.

    torch then sees this GPU alone.
    """
    try:
        from clusterplan.errors import NvmlUnavailable  # noqa: PLC0415  a missing dependency is a reason to skip
        from clusterplan.launcher.sampler import nvml, visible_gpus  # noqa: PLC0415  likewise: pynvml
    except ImportError as error:
        return None, None, str(error)
    try:
        library = stack.enter_context(nvml.open_library())
    except NvmlUnavailable as error:
        return None, None, f"no NVIDIA GPU here: {error}"
    devices, failures = library.devices()
    devices, _ = visible_gpus.select_visible(devices, os.environ)
    if not devices:
        return None, None, "; ".join(failure.text for failure in failures) or "this job has no NVIDIA GPU"
    os.environ["CUDA_VISIBLE_DEVICES"] = devices[0].identity.uuid
    return devices[0], library.driver_version(), None


def _import_torch(*, is_dry: bool) -> tuple[Any, str | None]:
    """Return torch with the GPU, or in a dry run the CPU, as its device; and why its parts cannot run, or None."""
    try:
        torch = import_module("torch")
    except ImportError as error:
        return None, str(error)
    if not is_dry and not torch.cuda.is_available():
        return torch, f"torch {torch.__version__} sees no GPU"
    torch.set_default_device("cpu" if is_dry else "cuda")
    if is_dry:
        torch.set_num_threads(1)  # tiny products: more threads only wait for each other
    return torch, None


def _head(device: Any, driver: str | None, torch: Any, *, is_dry: bool) -> Sequence[str]:
    identity = device.identity if device else None
    gpu = f"{identity.name}, compute capability {identity.compute_capability}" if identity else "none"
    cuda = f" for CUDA {torch.version.cuda}" if torch and torch.version.cuda else ""
    return [
        "# Measured on a GPU",
        "",
        *(["**A dry run on the CPU: these figures mean nothing.**", ""] if is_dry else []),
        "| | |",
        "|---|---|",
        f"| date | {datetime.now(UTC):%Y-%m-%d} |",
        f"| GPU | {gpu} |",
        f"| driver | {driver or 'unknown'} |",
        f"| torch | {torch.__version__ + cuda if torch else 'none'} |",
        f"| host | {platform.machine()}, Python {platform.python_version()} |",
    ]


if __name__ == "__main__":
    main()
