"""A transformer of the size of GPT-2 small against what clusterplan says: step times, memory, shares, the sampler's cost.

It trains in every combination of two precisions, two lengths and three micro-batches.  The step-time model learns from
one of them, and is asked for all.
"""

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nvml_part import yes_no
from torch_part import Trained, catalogue_entry, size_of, train_shape

from clusterplan.cluster_profiles.precision import Precision
from clusterplan.estimator.gpu_use.precision import find_precision_notes
from clusterplan.estimator.job.placement import place
from clusterplan.estimator.job.shape import Shape
from clusterplan.estimator.job.workload import Workload
from clusterplan.estimator.measurements.measurement import Measurement
from clusterplan.estimator.memory.peak import estimate_memory
from clusterplan.estimator.ranges import Range
from clusterplan.estimator.step_time.model.predict import fit

ROOT = Path(__file__).parent.parent.parent
SECONDS_IN_ALL = 300.0
USUAL_GPU = (
    "h100-sxm"  # for a GPU that the catalogue lacks: memory and steps of one GPU depend little on its name
)


def train(torch: Any, device: Any) -> Iterator[str]:
    """Yield the tables, after all shapes were trained; a shape that cannot train is a line with the reason."""
    gpu, size = catalogue_entry(device), size_of(torch)
    half = Precision.FP16 if gpu and Precision.BF16 not in gpu.peak_flops else Precision.BF16
    shapes = [
        Shape(gpu.key if gpu else USUAL_GPU, 1, 1, 1, batch_size, precision=precision, seq_len=length)
        for precision in (half, Precision.FP32)
        for length in size.lengths
        for batch_size in size.batch_sizes
    ]
    trained: list[Trained] = []
    deadline = time.monotonic() + SECONDS_IN_ALL
    with _sampler(device) as describe_cost:
        for shape in shapes:
            name = f"{shape.precision}, length {shape.seq_len:,}, micro-batch {shape.batch_size}"
            if time.monotonic() > deadline:
                yield f"- {name}: not run, the time is up."
                continue
            try:
                trained.append(train_shape(torch, device, size, shape))
            except torch.cuda.OutOfMemoryError:
                yield f"- {name}: out of memory."
    if not trained:
        return
    yield (
        f"{trained[0].parameters:,} parameters in {size.layers} layers of {size.hidden}, AdamW, torch's autocast for {half}, "
        f"attention by `scaled_dot_product_attention`.\n"
    )
    yield from _compare_steps(trained, learned_from=trained[min(1, len(trained) - 1)])
    yield from _compare_memory(trained)
    yield from _compare_shares(trained, device, half)
    yield describe_cost()


def _table(caption: str, columns: str, rows: Sequence[tuple[Trained, str]]) -> Iterator[str]:
    """Yield a caption, and a table whose first columns name the shape."""
    yield f"{caption}:\n"
    yield f"| precision | length | micro-batch | {columns} |"
    yield "|---" + "|---:" * (columns.count("|") + 3) + "|"
    for t, cells in rows:
        yield f"| {t.shape.precision} | {t.shape.seq_len:,} | {t.shape.batch_size} | {cells} |"
    yield ""


def _compare_steps(trained: Sequence[Trained], learned_from: Trained) -> Iterator[str]:
    shape = learned_from.shape
    measurement = Measurement(
        model="transformer",
        gpu=shape.gpu,
        nodes=shape.nodes,
        gpus=shape.gpus,
        gpus_per_node=shape.gpus_per_node,
        batch_size=shape.batch_size,
        accumulation=shape.accumulation,
        precision=shape.precision,
        seq_len=shape.seq_len,
        step_time_s=statistics.median(learned_from.steps_s),
    )
    rows, inside = [], 0
    for t, answer in zip(trained, fit([measurement]).predict([t.shape for t in trained]), strict=True):
        median, model = statistics.median(t.steps_s), answer.step_time_s
        spread = (max(t.steps_s) - min(t.steps_s)) / median
        holds = model.p10 <= median <= model.p90
        inside += holds
        off = f"{model.p50 / median - 1:+.0%}"
        rows.append(
            (t, f"{median * 1e3:.1f} | {spread:.0%} | {_show(model, 1e3, 1)} | {off} | {yes_no(holds)}")
        )
    known = f"{shape.precision}, length {shape.seq_len:,}, micro-batch {shape.batch_size}"
    yield from _table(
        f"Step times in ms against the step-time model, which knows one of them ({known})",
        "measured | spread | model: P10, P50, P90 | P50 off by | inside",
        rows,
    )
    yield f"Inside the range: {inside} of {len(trained)}.\n"


def _compare_memory(trained: Sequence[Trained]) -> Iterator[str]:
    rows = []
    for t in trained:
        job = Workload.of(
            samples=1,
            seq_len=t.shape.seq_len,
            parameters=t.parameters,
            batch_size=t.shape.batch_size,
            gpus=1,
            gpu=t.shape.gpu,
            precision=t.shape.precision,
        )
        peak = estimate_memory(job, place(job, None)).peak_bytes
        measured = " | ".join(f"{x / 1e9:.2f}" if x else "-" for x in (t.allocated, t.reserved, t.used))
        holds = yes_no(peak.p10 <= t.reserved <= peak.p90) if peak and t.reserved else "unknown"
        rows.append((t, f"{measured} | {_show(peak, 1e-9, 2) if peak else 'unknown'} | {holds}"))
    yield from _table(
        "Memory peaks in GB against the prior, which knows the number of parameters",
        "allocated | reserved | whole GPU | prior: P10, P50, P90 | reserved inside",
        rows,
    )


def _compare_shares(trained: Sequence[Trained], device: Any, planned: Precision) -> Iterator[str]:
    rows = []
    for t in trained:
        metrics = {"sm_active_mean": t.sm_active, "tensor_active_mean": t.tensor_active}
        gpu = SimpleNamespace(uuid=device.identity.uuid if device else "", metrics=metrics)
        is_noted = bool(find_precision_notes(planned, None, [gpu]))
        is_right = is_noted == (t.shape.precision is Precision.FP32)
        right = "unknown" if None in metrics.values() else yes_no(is_right)
        shares = " | ".join("-" if x is None else f"{x:.2%}" for x in metrics.values())
        rows.append((t, f"{shares} | {yes_no(is_noted)} | {right}"))
    yield from _table(
        f"Shares of time by GPM, and whether `report` notes that a run planned in {planned} left tensor cores idle",
        "SMs | tensor cores | noted | right",
        rows,
    )


def _show(amount: Range, factor: float, digits: int) -> str:
    return ", ".join(f"{x * factor:.{digits}f}" for x in (amount.p10, amount.p50, amount.p90))


@contextlib.contextmanager
def _sampler(device: Any) -> Iterator[Callable[[], str]]:
    """Run the sampler beside the block; give a function that says its cost once the block is left."""
    if device is None:
        yield lambda: "The sampler was not run: there is no GPU."
        return
    command = [sys.executable, "-P", "-m", "clusterplan.launcher.sampler"]
    sentences: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        sampler = subprocess.Popen([*command, folder], env=os.environ | {"PYTHONPATH": str(ROOT)})
        try:
            time.sleep(3)  # its start is not counted
            began_s, before_s = time.monotonic(), _cpu_s(sampler.pid)
            yield lambda: sentences[0]
            wall_s = time.monotonic() - began_s
            hourly_s = (_cpu_s(sampler.pid) - before_s) / wall_s * 3600
            status = Path(f"/proc/{sampler.pid}/status").read_text(encoding="ascii")
            peak_kib = int(status.split("VmHWM:")[1].split()[0])
            sentences.append(
                f"The sampler ran beside it for {wall_s:.0f} s: {hourly_s:.1f} CPU seconds per hour "
                f"({hourly_s / 36:.2f} % of one core), {peak_kib / 1024:.1f} MiB."
            )
        finally:
            sampler.send_signal(signal.SIGTERM)
            sampler.wait()


def _cpu_s(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9
