"""An optimizer by any name that frameworks give it."""

from ....estimator.job.optimizer import Optimizer
from ..recipe import Recipe, Setting


def read_optimizer(name: str, source: str) -> Recipe:
    """Return the optimizer as a setting; Adam is what the job file assumes anyway.

    >>> read_optimizer("paged_adamw_8bit", "run.sh line 3: --optim paged_adamw_8bit").value("training.optimizer")
    'paged-adam-8bit'
    """
    try:
        optimizer = Optimizer(name)
    except ValueError:
        return Recipe(remarks=(f"{source}: the memory of this optimizer is not known: counted as Adam's",))
    if optimizer is Optimizer.ADAM:
        return Recipe()
    return Recipe.of(Setting("training.optimizer", str(optimizer), source))
