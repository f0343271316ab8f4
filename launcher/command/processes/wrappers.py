"""Programs that start the program which follows their own options: `env A=1 uv run python train.py`."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=", re.DOTALL)


class _Wrapper(NamedTuple):
    """How a wrapper is called: its verbs, its options that take a value, and its words before the program."""

    verbs: str = ""
    valued: str = ""
    positional: int = 0
    starts_python_files: bool = False  # X.py and -m MODULE mean `python X.py` and `python -m MODULE`


# As their manuals have them: GNU coreutils, util-linux, numactl(8); docs.astral.sh/uv/reference/cli, pdm-project.org,
# hatch.pypa.io, rye.astral.sh, python-poetry.org, pipenv.pypa.io, pixi.sh, docs.conda.io, mamba.readthedocs.io,
# apptainer.org/docs/user/latest/cli.
_UV = (
    "--with --with-editable --with-requirements -w --python -p --extra --no-extra --group --no-group --only-group --env-file "
    "--directory --project --package --index --default-index --index-url -i --extra-index-url --find-links -f --cache-dir "
    "--config-file --color --refresh-package --upgrade-package -P --resolution --prerelease --link-mode"
)
_CONDA = "-n --name -p --prefix --cwd --root-prefix -r -e --env -a --attach"
_CONTAINER = (
    "-B --bind --env --env-file -H --home -W --workdir --pwd --cwd -o --overlay -S --scratch --mount --fusemount "
    "--network --hostname --security --apply-cgroups --no-mount --nvccli-devices"
)
_NSYS = (
    "-o --output -t --trace -s --sample -c --capture-range --capture-range-end -y --delay -d --duration -f --force-overwrite "
    "-x --stop-on-exit -w --show-output -b --backtrace --cudabacktrace -e --env-var --stats --export -p --nvtx-capture "
    "--gpu-metrics-device --gpu-metrics-devices --cuda-memory-usage --python-backtrace --kill --wait"
)
_WRAPPERS = {
    "env": _Wrapper(valued="-u --unset -C --chdir"),
    "nice": _Wrapper(valued="-n --adjustment"),
    "ionice": _Wrapper(valued="-c --class -n --classdata"),
    "numactl": _Wrapper(
        valued="-C --physcpubind -N --cpunodebind -m --membind -i --interleave -p --preferred -P --preferred-many"
    ),
    "stdbuf": _Wrapper(valued="-i --input -o --output -e --error"),
    "taskset": _Wrapper(positional=1),
    "time": _Wrapper(valued="-f --format -o --output"),
    "timeout": _Wrapper(valued="-k --kill-after -s --signal", positional=1),
    "nohup": _Wrapper(),
    "setsid": _Wrapper(),
    "exec": _Wrapper(valued="-a"),
    "sudo": _Wrapper(valued="-u --user -g --group -D --chdir"),
    "xvfb-run": _Wrapper(valued="-n --server-num -s --server-args -e --error-file -f --auth-file -w --wait"),
    "nsys": _Wrapper("profile", _NSYS),
    "ncu": _Wrapper(
        valued="-o --export -k --kernel-name -s --launch-skip -c --launch-count --set --section --metrics"
    ),
    "py-spy": _Wrapper("record", "-o --output -f --format -d --duration -r --rate"),
    "command": _Wrapper(),
    "uv": _Wrapper("run", _UV, starts_python_files=True),
    "pdm": _Wrapper("run", "-p --project", starts_python_files=True),
    "hatch": _Wrapper(
        "run", "-e --env -p --project --data-dir --cache-dir --config", starts_python_files=True
    ),
    "rye": _Wrapper("run", "--pyproject"),
    "poetry": _Wrapper("run", "-C --directory -P --project"),
    "pipenv": _Wrapper("run", "--python --pypi-mirror"),
    "pixi": _Wrapper("run", "-e --environment --manifest-path -m --color --concurrent-downloads"),
    **dict.fromkeys(("conda", "mamba", "micromamba"), _Wrapper("run", _CONDA)),
    **dict.fromkeys(("apptainer", "singularity"), _Wrapper("exec run", _CONTAINER, positional=1)),
}


# What they start is written in a file of theirs.
_TASK_RUNNERS = {
    "make",
    "just",
    "task",
    "invoke",
    "inv",
    "doit",
    "nox",
    "tox",
    "dvc",
    "wandb",
    "mlflow",
    "snakemake",
}
_TASK_RUNNERS |= {"papermill", "jupyter", "ipython"}


class Unwrapped(NamedTuple):
    """Where the program begins, what the words before it set, and whether Python must be put in front of it."""

    at: int
    variables: Mapping[str, str]
    needs_python: bool = False
    module_words: int = 0  # the wrapper's own words for `-m`, which Python's take the place of


def unwrap(words: Sequence[str]) -> Unwrapped:
    """Return where the program of `words` begins; 0 if no wrapper stands before it.

    >>> unwrap(["env", "A=1", "uv", "run", "--with", "torch", "train.py"])
    Unwrapped(at=6, variables={'A': '1'}, needs_python=True, module_words=0)
    >>> unwrap(["numactl", "-N", "0", "python", "train.py"]).at
    3
    """
    at, variables = _after_assignments(words, 0, {})
    while (end := end_of_wrapper(words, at)) is not None:
        wrapper = _WRAPPERS[base_name(words[at])]
        _, variables = _after_assignments(words, _start_of_assignments(words, at, wrapper), variables)
        if wrapper.starts_python_files and words[end] in ("-m", "--module"):
            return Unwrapped(end, variables, needs_python=True, module_words=1)
        if wrapper.starts_python_files and words[end].endswith((".py", ".pyw")):
            return Unwrapped(end, variables, needs_python=True)
        at = end
    return Unwrapped(at, variables)


def end_of_wrapper(words: Sequence[str], at: int) -> int | None:
    """Return the index of the program that the wrapper at `at` starts; None if no wrapper stands there, or it starts none.

    >>> end_of_wrapper("env A=1 numactl -N 0 python t.py".split(), 0), end_of_wrapper(["uv", "sync"], 0)
    (2, None)
    """
    wrapper = _WRAPPERS.get(base_name(words[at])) if at < len(words) else None
    if wrapper is None:
        return None
    start = _start_of_assignments(words, at, wrapper)
    if start < 0:
        return None
    end = _after_assignments(words, start, {})[0] + wrapper.positional
    return end if end < len(words) else None


def _start_of_assignments(words: Sequence[str], at: int, wrapper: _Wrapper) -> int:
    """Return where a wrapper's own words end; -1 if it is called by another verb, which starts no program."""
    start = _after_options(words, at + 1, wrapper)
    if not wrapper.verbs:
        return start
    if words[start : start + 1] and words[start] not in wrapper.verbs.split():
        return -1
    return _after_options(words, start + 1, wrapper)


def runs_a_task(words: Sequence[str]) -> bool:
    """Return whether a runner such as `hatch run` is given a task of its project, or a program of its environment.

    >>> runs_a_task(["hatch", "run", "train"]), runs_a_task(["env", "A=1", "make"]), runs_a_task(["env", "A=1", "train"])
    (True, True, False)
    """
    before = {base_name(word) for word in words[: unwrap(words).at]}
    runs = any(wrapper.verbs and name in before for name, wrapper in _WRAPPERS.items())
    return runs or base_name(words[unwrap(words).at]) in _TASK_RUNNERS


def base_name(word: str) -> str:
    """Return the name of a program without its folder, its quotes, and the environment that hatch takes before it.

    >>> [base_name(word) for word in ("/opt/env/bin/python3", '"python"', "cuda:python", "$(which deepspeed)")]
    ['python3', 'python', 'python', 'deepspeed']
    """
    name = word.strip("'\"")
    found = re.fullmatch(r"(?:\$\(|`)(?:which|command -v) ([\w./-]+)[)`]", name)
    return (found[1] if found else name).rsplit("/", 1)[-1].rpartition(":")[2]


def _after_options(words: Sequence[str], at: int, wrapper: _Wrapper) -> int:
    valued = wrapper.valued.split()
    while at < len(words) and words[at].startswith("-"):
        if words[at] == "--":
            return at + 1
        if wrapper.starts_python_files and words[at] in ("-m", "--module"):
            return at
        at += 2 if words[at] in valued else 1
    return at


def _after_assignments(
    words: Sequence[str], at: int, variables: Mapping[str, str]
) -> tuple[int, dict[str, str]]:
    assigned = dict(variables)
    while at < len(words) and _ASSIGNMENT.match(words[at]):
        name, _, value = words[at].partition("=")
        assigned[name] = value
        at += 1
    return at, assigned
