"""The energy of a job, what it costs, and its CO2, in words."""

from ..cluster_profiles.units import format_significant, plural
from ..estimator.cost.energy import Energy
from ..estimator.cost.run_cost import RunCost


def footprint_text(cost: RunCost | None) -> str:
    """Return the price of the energy and its CO2, with the date of the rates; nothing without a rate.

    >>> footprint_text(RunCost(4.0, 3.0, None, None, "EUR", "2026-01-01", 1.5))
    '; 3 EUR and 4 kg CO2 with the PUE of 1.5, rates of 2026-01-01'
    """
    if cost is None:
        return ""
    parts = []
    if cost.energy_cost is not None:
        parts.append(f"{format_significant(cost.energy_cost)} {cost.currency}")
    if cost.co2_kg is not None:
        parts.append(f"{format_significant(cost.co2_kg)} kg CO2")
    pue = f" with the PUE of {cost.pue:g}" if cost.pue > 1 else ""
    return f"; {' and '.join(parts)}{pue}, rates of {cost.rates_of}" if parts else ""


def energy_rows(energy: Energy | None) -> list[tuple[str, str, str]]:
    """Return the row on the energy of an estimate; none if nothing tells it."""
    if energy is None:
        return []
    cost = footprint_text(energy.footprint)
    if energy.kwh:
        low, middle, high = (format_significant(x) for x in (energy.kwh.p10, energy.kwh.p50, energy.kwh.p90))
        each = f"{format_significant(energy.per_sample_j or 0)} J per sample"
        measured = f"{low} to {high}, the GPUs alone: {each}, measured in {plural(energy.runs, 'run')}"
        return [("energy", f"{middle} kWh", f"{measured}{cost}")]
    most = format_significant(energy.at_most_kwh or 0)
    return [
        (
            "energy",
            f"at most {most} kWh",
            f"the GPUs alone: TDP of {energy.tdp_w:g} W each; not measured{cost}",
        )
    ]
