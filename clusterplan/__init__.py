"""Plan, run and measure training jobs on shared GPUs.

    from clusterplan import Workload, estimate, load_profile

    job = Workload.of(samples=1_000_000, batch_size=32, gpus=8, samples_per_s=44.3)
    print(estimate(job, load_profile("slurm-a100")).clock.total)

Names are imported when they are first used, so that `import clusterplan` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cluster_profiles.catalog import load_profile as load_profile
    from .cluster_profiles.precision import Precision as Precision
    from .cluster_profiles.profile import ClusterProfile as ClusterProfile
    from .errors import ClusterplanError as ClusterplanError
    from .estimator.estimate.estimate import Estimate as Estimate
    from .estimator.estimate.estimate import estimate as estimate
    from .estimator.job.workload import Workload as Workload
    from .estimator.measurements.measurement import Measurement as Measurement
    from .launcher.in_training.mixed_precision import mixed_precision as mixed_precision
    from .launcher.in_training.tracker import track as track

_HOME = {
    "ClusterProfile": ".cluster_profiles.profile",
    "ClusterplanError": ".errors",
    "Estimate": ".estimator.estimate.estimate",
    "Measurement": ".estimator.measurements.measurement",
    "Precision": ".cluster_profiles.precision",
    "Workload": ".estimator.job.workload",
    "estimate": ".estimator.estimate.estimate",
    "load_profile": ".cluster_profiles.catalog",
    "mixed_precision": ".launcher.in_training.mixed_precision",
    "track": ".launcher.in_training.tracker",
}

__version__ = "0.1"
__all__ = [
    "ClusterProfile",
    "ClusterplanError",
    "Estimate",
    "Measurement",
    "Precision",
    "Workload",
    "estimate",
    "load_profile",
    "mixed_precision",
    "track",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
