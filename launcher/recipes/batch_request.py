"""What a script asks of sbatch, in the keys of the job file: each option is taken, asked about, or named as left out.  Pure.

How sbatch reads them was tried on Slurm 22.05; otherwise sbatch(1), https://slurm.schedmd.com/sbatch.html.
"""

from collections.abc import Callable, Sequence

from ...errors import InputError
from .batch_machines import BatchShape, read_machines
from .recipe import Question, Recipe, Setting
from .shell.sbatch_lines import SbatchOption

# They say what they said to sbatch, by the same names in [slurm].
_PASSED_ON = {
    *(
        "account",
        "qos",
        "constraint",
        "reservation",
        "nodelist",
        "exclude",
        "exclusive",
        "mem",
        "mem-per-cpu",
    ),
    *(
        "mem-per-gpu",
        "hint",
        "gpu-bind",
        "gpu-freq",
        "gres-flags",
        "switches",
        "network",
        "licenses",
        "mail-type",
    ),
    *(
        "mail-user",
        "comment",
        "nice",
        "begin",
        "deadline",
        "tmp",
        "threads-per-core",
        "ntasks-per-core",
        "cpus-per-gpu",
    ),
    *(
        "cores-per-socket",
        "sockets-per-node",
        "mincpus",
        "mem-bind",
        "distribution",
        "core-spec",
        "prefer",
        "wckey",
    ),
    *(
        "cluster-constraint",
        "clusters",
        "delay-boot",
        "priority",
        "profile",
        "oversubscribe",
        "use-min-nodes",
    ),
    *(
        "contiguous",
        "spread-job",
        "cpu-freq",
        "bb",
        "bbf",
        "extra",
        "time-min",
        "thread-spec",
        "power",
        "reboot",
    ),
}
_LEFT_OUT = {
    **dict.fromkeys(
        ("output", "error", "open-mode"), "the logs are in the run's folder: clusterplan logs RUN"
    ),
    "chdir": "submit from that folder",
    "input": "a run reads nothing",
    "requeue": "clusterplan requeues by itself",
    "hold": "a run is not held",
    "dependency": "it names jobs of another day",
    **dict.fromkeys(
        ("parsable", "quiet", "verbose", "wait", "test-only", "wait-all-nodes"), "it is for sbatch alone"
    ),
}
_MACHINES = ("nodes", "ntasks", "ntasks-per-node", "ntasks-per-gpu", "cpus-per-task", "gres", "time")
_CONTAINER = ("container", "no-container")
_SIGNALS = ("SIGTERM", "SIGUSR1", "SIGINT")


def read_batch_request(options: Sequence[SbatchOption], script: str) -> tuple[Recipe, BatchShape]:
    """Return what the options say as a recipe, and the machines they ask for.  Raises InputError for what sbatch refuses.

    >>> from clusterplan.launcher.recipes.shell.sbatch_lines import read_sbatch_lines
    >>> lines = "#SBATCH --nodes=2 --gres=gpu:a100:4 -A lab\\n#SBATCH -t 15 -a 0-3\\n"
    >>> recipe, shape = read_batch_request(read_sbatch_lines(lines), "run.sh")
    >>> {key: setting.value for key, setting in recipe.settings.items()}
    {'slurm.account': 'lab', 'training.gpus': 8, 'cluster.gpu': 'a100', 'cluster.nodes': 2}
    >>> shape.walltime, recipe.questions[0].why
    ('15', 'run.sh line 2: --array=0-3 makes several runs: give what differs as a placeholder, and its values by --sweep')
    """
    recipe = Recipe()
    for option in options:
        _check_is_literal(option, script)
        recipe = recipe.over(_read_option(option, f"{script} line {option.line}: {option.text}"))
    values = {option.name: option for option in options}
    machines, shape = read_machines(values, script)
    return recipe.over(machines).over(_container(options, script)), shape


def _container(options: Sequence[SbatchOption], script: str) -> Recipe:
    """Options of pyxis (https://github.com/NVIDIA/pyxis): the image and its mounts; enroot has no place for others."""
    recipe = Recipe()
    for option in options:
        source = f"{script} line {option.line}: {option.text}"
        if option.name == "container-image":
            recipe = recipe.over(Recipe.of(Setting("run.container", option.value, source)))
        elif option.name == "container-mounts":
            recipe = recipe.over(
                Recipe.of(Setting("run.container_mounts", tuple(option.value.split(",")), source))
            )
        elif option.name.startswith(_CONTAINER):
            recipe = recipe.over(Recipe(remarks=(f"{source} is not taken: the job file has no key for it",)))
    return recipe


def _check_is_literal(option: SbatchOption, script: str) -> None:
    counts = ("nodes", "ntasks", "ntasks-per-node", "cpus-per-task", "gpus", "time")
    if "$" in option.value and option.name in counts:
        raise InputError(
            f"{script} line {option.line}: {option.text}: no shell reads #SBATCH lines, so sbatch refuses the variable: write its value"
        )


def _read_option(option: SbatchOption, source: str) -> Recipe:
    name, value = option.name, option.value
    if name in _MACHINES or name.startswith(("gpus", *_CONTAINER)):
        return Recipe()  # read together
    if name in _PASSED_ON:
        return Recipe.of(Setting(f"slurm.{name}", _typed(value), source), remarks=_warnings(name, source))
    if name in _READERS:
        return _READERS[name](value, source)
    why = _LEFT_OUT.get(name, "the job file has no key for it")
    return Recipe(remarks=(f"{source} is not taken: {why}",))


def _job_name(value: str, source: str) -> Recipe:
    note = (f"{source}: no shell reads #SBATCH lines, so the name has the variable as it stands",)
    return Recipe.of(Setting("name", value, source), remarks=note if "$" in value else ())


def _array(_value: str, source: str) -> Recipe:
    why = f"{source} makes several runs: give what differs as a placeholder, and its values by --sweep"
    return Recipe(questions=(Question("run.runs", why),))


def _warnings(name: str, source: str) -> tuple[str, ...]:
    if name == "nodelist":
        return (f"{source} pins the run to these nodes: it waits until they are free",)
    return ()


def _typed(value: str) -> str | int | bool:
    if not value:
        return True
    return int(value) if value.isdecimal() and str(int(value)) == value else value


def _stop_signal(value: str, source: str) -> Recipe:
    name = value.partition("@")[0].rpartition(":")[2].upper().removeprefix("SIG")
    names = {"1": "HUP", "2": "INT", "10": "USR1", "12": "USR2", "15": "TERM"}
    signal = f"SIG{names.get(name, name)}"
    if signal in _SIGNALS:
        note = (f"{source}: clusterplan chooses when it is sent, and no trap in a script is needed",)
        return Recipe.of(Setting("run.stop_signal", signal, source), remarks=note)
    why = f"a run is told to save by {', '.join(_SIGNALS)}, by default SIGTERM: see run.stop_signal"
    return Recipe(remarks=(f"{source} is not taken: {why}",))


def _export(value: str, source: str) -> Recipe:
    if {"NONE", "NIL"}.isdisjoint(value.split(",")):
        return Recipe()  # its NAME=VALUE are in the shape
    return Recipe(remarks=(f"{source} is not taken: a run gets the environment of the terminal",))


_READERS: dict[str, Callable[[str, str], Recipe]] = {
    "job-name": _job_name,
    "partition": lambda value, source: Recipe.of(Setting("cluster.partition", value, source)),
    "no-requeue": lambda _, source: Recipe.of(Setting("run.max_restarts", 0, source)),
    "signal": _stop_signal,
    "array": _array,
    "export": _export,
}
