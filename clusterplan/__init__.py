"""Plan, run and measure training jobs on shared GPUs.

    import clusterplan

    answer = clusterplan.estimate(samples=1_000_000, batch_size=32, gpus=8, samples_per_s=44.3, profile="slurm-a100")
    print(answer.clock.total)

Names are imported when they are first used, so that `import clusterplan` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api.advice.advise import advise as advise
    from .api.campaign.book import book as book
    from .api.campaign.launch import replan as replan
    from .api.campaign.progress import campaigns as campaigns
    from .api.campaign.schedule import schedule as schedule
    from .api.estimate import estimate as estimate
    from .api.history.accuracy import history_accuracy as history_accuracy
    from .api.history.comparison import history_compare as history_compare
    from .api.history.entries import history_add as history_add
    from .api.history.history import History as History
    from .api.history.history import collect as collect
    from .api.report import report as report
    from .api.reports.sweep import report_sweep as report_sweep
    from .api.resume.resume import resume as resume
    from .api.runs import cancel as cancel
    from .api.runs import runs as runs
    from .api.scripts.init import init as init
    from .api.submit import submit as submit
    from .api.trials.calibrate import calibrate as calibrate
    from .api.trials.stages import estimate_stages as estimate_stages
    from .api.trials.stages import submit_stages as submit_stages
    from .cluster_profiles.catalog import load_profile as load_profile
    from .cluster_profiles.precision import Precision as Precision
    from .cluster_profiles.profile import ClusterProfile as ClusterProfile
    from .cluster_profiles.profile import ClusterProfile as Profile
    from .errors import ClusterplanError as ClusterplanError
    from .estimator.estimate.estimate import Estimate as Estimate
    from .estimator.job.workload import Workload as Workload
    from .estimator.measurements.measurement import Measurement as Measurement
    from .launcher.in_training.framework_callbacks import lightning_callback as lightning_callback
    from .launcher.in_training.framework_callbacks import trainer_callback as trainer_callback
    from .launcher.in_training.mixed_precision import mixed_precision as mixed_precision
    from .launcher.in_training.tracker import track as track

_HOMES = {
    "ClusterProfile": ".cluster_profiles.profile",
    "ClusterplanError": ".errors",
    "Estimate": ".estimator.estimate.estimate",
    "History": ".api.history.history",
    "Measurement": ".estimator.measurements.measurement",
    "Precision": ".cluster_profiles.precision",
    "Profile": ".cluster_profiles.profile",
    "Workload": ".estimator.job.workload",
    "book": ".api.campaign.book",
    "calibrate": ".api.trials.calibrate",
    "advise": ".api.advice.advise",
    "campaigns": ".api.campaign.progress",
    "cancel": ".api.runs",
    "collect": ".api.history.history",
    "estimate": ".api.estimate",
    "estimate_stages": ".api.trials.stages",
    "history_accuracy": ".api.history.accuracy",
    "history_add": ".api.history.entries",
    "history_compare": ".api.history.comparison",
    "init": ".api.scripts.init",
    "lightning_callback": ".launcher.in_training.framework_callbacks",
    "load_profile": ".cluster_profiles.catalog",
    "mixed_precision": ".launcher.in_training.mixed_precision",
    "replan": ".api.campaign.launch",
    "report": ".api.report",
    "report_sweep": ".api.reports.sweep",
    "resume": ".api.resume.resume",
    "runs": ".api.runs",
    "schedule": ".api.campaign.schedule",
    "submit": ".api.submit",
    "submit_stages": ".api.trials.stages",
    "trainer_callback": ".launcher.in_training.framework_callbacks",
    "track": ".launcher.in_training.tracker",
}
_ALIASES = {"Profile": "ClusterProfile"}

__version__ = "0.1"
__all__ = [
    "ClusterProfile",
    "ClusterplanError",
    "Estimate",
    "History",
    "Measurement",
    "Precision",
    "Profile",
    "Workload",
    "advise",
    "book",
    "calibrate",
    "campaigns",
    "cancel",
    "collect",
    "estimate",
    "estimate_stages",
    "history_accuracy",
    "history_add",
    "history_compare",
    "init",
    "lightning_callback",
    "load_profile",
    "mixed_precision",
    "replan",
    "report",
    "resume",
    "runs",
    "schedule",
    "submit",
    "submit_stages",
    "track",
    "trainer_callback",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), _ALIASES.get(name, name))


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
