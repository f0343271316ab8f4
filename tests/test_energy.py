"""The energy of a job before it runs and of a run after it, and what it costs at the user's rates."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from clusterplan import Measurement, Precision, Workload
from clusterplan.cluster_profiles.profile import Rates
from clusterplan.estimator.cost.energy import estimate_energy
from clusterplan.estimator.gpu_use.report import EnergySource, GpuReport, RunReport
from clusterplan.estimator.job.placement import place
from clusterplan.estimator.ranges import Range

JOB = Workload.of(model="m", samples=1_000_000, batch_size=32, gpus=8, gpu="a100-sxm4-80gb", precision="bf16")
PLACE = place(JOB, None)
RUN = Measurement(
    model="m",
    gpu="a100-sxm4-80gb",
    nodes=PLACE.nodes,
    gpus=8,
    gpus_per_node=PLACE.gpus_per_node,
    batch_size=32,
    accumulation=1,
    precision=Precision.BF16,
    seq_len=None,
    step_time_s=5.8,
    energy_per_sample_j=36.0,
)


def energy(*measurements: Measurement, **extra: Any) -> Any:
    return estimate_energy(1_000_000, JOB, PLACE, measurements, Range(40, 50, 60), **extra)


def test_measured_joules_per_sample_times_samples() -> None:
    answer = energy(RUN)
    assert answer.kwh.p50 == pytest.approx(36.0 * 1e6 / 3.6e6)
    assert (answer.runs, answer.at_most_kwh) == (1, None)
    assert answer.kwh.p10 < answer.kwh.p50 < answer.kwh.p90


def test_runs_in_the_very_shape_count_alone() -> None:
    other = replace(RUN, gpus=16, nodes=2, energy_per_sample_j=72.0)
    assert energy(RUN, other).kwh.p50 == pytest.approx(10.0)
    assert energy(other).kwh.p50 == pytest.approx(20.0)
    assert energy(other).kwh.p90 / energy(other).kwh.p50 > energy(RUN).kwh.p90 / energy(RUN).kwh.p50


@pytest.mark.parametrize(
    "values",
    [
        {"model": "n"},
        {"gpu": "h100-sxm"},
        {"precision": Precision.FP32},
        {"seq_len": 4096},
        {"energy_per_sample_j": None},
    ],
)
def test_runs_of_other_work_give_the_upper_bound_alone(values: dict[str, Any]) -> None:
    """A100 SXM: 400 W (the catalogue has the source)."""
    answer = energy(replace(RUN, **values))
    assert (answer.kwh, answer.at_most_kwh, answer.tdp_w) == (None, pytest.approx(60 * 0.4), 400)


def test_without_time_or_gpu_nothing_is_said() -> None:
    assert estimate_energy(9, JOB, PLACE, [], None) is None
    unknown = Workload.of(samples=9, batch_size=1, gpus=1)
    assert estimate_energy(9, unknown, place(unknown, None), [], Range.exactly(1)) is None


def test_rates_give_price_and_carbon_with_their_date() -> None:
    rates = Rates(currency="EUR", date="2026-01-01", per_kwh=0.3, gco2_per_kwh=400, pue=1.5)
    footprint = energy(RUN, rates=rates).footprint
    assert (footprint.energy_cost, footprint.co2_kg, footprint.rates_of) == (
        pytest.approx(10 * 1.5 * 0.3),
        pytest.approx(10 * 1.5 * 0.4),
        "2026-01-01",
    )


def test_estimate_says_the_bound_and_what_it_costs(in_process: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\n[rates]\ncurrency = "EUR"\ndate = 2026-01-01\nper_gpu_hour = 2\nper_kwh = 0.25\ngco2_per_kwh = 380\n'
        '[[partitions]]\nname = "gpu"\nnodes = 4\ngpus_per_node = 8\ngpu = "a100-sxm4-80gb"\n',
        encoding="utf-8",
    )
    flags = (
        "--samples",
        "1M",
        "--batch-size",
        32,
        "--gpus",
        8,
        "--samples-per-s",
        44.3,
        "--profile",
        "mine.toml",
    )
    text = " ".join(in_process("estimate", *flags).stdout.split())
    assert (
        "energy at most 22.4 kWh the GPUs alone: TDP of 400 W each; not measured; 5.6 EUR and 8.51 kg CO2"
        in text
    )
    assert "rates of 2026-01-01" in text
    answer = json.loads(in_process("estimate", *flags, "--json").stdout)["energy"]
    assert (answer["source"], answer["kwh"], answer["currency"]) == ("tdp", None, "EUR")
    assert answer["cost"] == pytest.approx(answer["at_most_kwh"] * 0.25)


@pytest.mark.parametrize(
    ("metrics", "source", "kwh"),
    [
        ({"energy_j": 7.2e6, "power_mean_w": 250.0}, EnergySource.COUNTERS, 4.0),
        ({"energy_j": None, "power_mean_w": 250.0}, EnergySource.POWER, 0.25 * 6),
        ({"energy_j": None, "power_mean_w": None}, EnergySource.POWER_LIMIT, 0.4 * 6),
    ],
)
def test_energy_of_a_run_is_by_the_best_source(metrics: Any, source: EnergySource, kwh: float) -> None:
    gpu = GpuReport("u", "n1", "0", 0, "A100", metrics, None, 400.0, ticks=10, timeline=())
    run = RunReport(
        "r", None, "completed", None, None, None, None, 6.0, (gpu, gpu), (), None, attribution_guessed=False
    )
    assert run.energy_source is source
    assert run.energy_kwh == pytest.approx(kwh)
