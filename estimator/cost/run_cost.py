"""The cost of a run's energy and GPU-hours at a cluster's rates.  Pure."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pydantic, for every `status` and `report`
    from ...cluster_profiles.profile import Partition, Rates


@dataclass(frozen=True)
class RunCost:
    """Costs in `currency` at the rates of the date `rates_of`, and kg of CO2; None where the profile has no rate.

    `per_gpu_hour` is the price of a GPU-hour.  `pue` multiplied the GPUs' energy, for the site's cooling and losses.
    """

    co2_kg: float | None
    energy_cost: float | None
    gpu_hours_cost: float | None
    per_gpu_hour: float | None
    currency: str
    rates_of: str
    pue: float


def run_cost(
    energy_kwh: float | None, gpu_hours: float | None, rates: "Rates", partition: "Partition | None" = None
) -> RunCost:
    """Return energy x PUE x intensity or price, and GPU-hours x the price in `partition`; None is not known.

    >>> from clusterplan.cluster_profiles.profile import Rates
    >>> rates = Rates(currency="EUR", date="2026-01-01", per_kwh=0.3, gco2_per_kwh=400, pue=1.5)
    >>> cost = run_cost(10.0, 2.0, rates)
    >>> cost.co2_kg, cost.energy_cost, cost.gpu_hours_cost
    (6.0, 4.5, None)
    """
    pue = rates.pue or 1.0
    site_kwh = None if energy_kwh is None else energy_kwh * pue
    per_gpu_hour = rates.gpu_hour(partition)
    grams = _times(site_kwh, rates.gco2_per_kwh)
    return RunCost(
        co2_kg=None if grams is None else grams / 1000,
        energy_cost=_times(site_kwh, rates.per_kwh),
        gpu_hours_cost=_times(gpu_hours, per_gpu_hour),
        per_gpu_hour=per_gpu_hour,
        currency=rates.currency,
        rates_of=rates.date.isoformat(),
        pue=pue,
    )


def _times(amount: float | None, rate: float | None) -> float | None:
    return None if amount is None or rate is None else amount * rate
