"""The launch line of a script with everything around it, as a recipe: machines, arguments, config files, `[run]`."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from .batch_machines import BatchShape
from .batch_request import read_batch_request
from .data_files import count_samples
from .files import Files
from .launch.claims import GpuClaim, agree_on_gpus
from .launch.gpus import claim_gpus, gpus_hinted, nodes_in_doubt
from .launch.line import LaunchLine
from .launch.run_command import JobShape, write_run
from .launch.setup import Launches
from .program import ProgramArguments, parse_program, read_launcher_config, read_program
from .recipe import Question, Recipe, Setting
from .shell.sbatch_lines import SbatchOption

if TYPE_CHECKING:
    from .script import Script


_MACHINES = ("training.gpus", "cluster.nodes")


def read_launch(
    launches: Launches, request: Recipe, shape: BatchShape, files: Files, script: "Script"
) -> Recipe:
    """Return the recipe of a script, whose lines for sbatch say `request` and `shape`."""
    launch = launches.training
    place = launch.place(script.name)
    by_srun, srun_shape = _srun_request(launch, script.name)
    if shape.tasks_per_node is None:
        shape = replace(shape, tasks_per_node=srun_shape.tasks_per_node)
    folder = launch.command.folder
    near = files.with_folders(Path(folder)) if folder else files
    arguments = parse_program(launch, near, script.name)
    gpus = _gpus(launch, arguments, shape, srun_shape, near, script)
    known_gpus = script.stated.get("training.gpus") or gpus.value("training.gpus")
    nodes = script.stated.get("cluster.nodes") or gpus.value("cluster.nodes")
    program = read_program(launch, arguments, near, known_gpus, script.name)
    job = JobShape(known_gpus, nodes, shape.tasks_per_node)
    run = write_run(launches, program.words, job, script.name, files.written)
    recipe = (
        run.over(program.recipe)
        .over(gpus)
        .over(request.without("training.gpus", "cluster.nodes"))
        .over(by_srun)
    )
    doubts = (question for question in program.recipe.questions if question.key in _MACHINES)
    recipe = recipe.asking(*(question for question in doubts if question.key not in script.stated))
    recipe = _in_its_folder(recipe, launch, script)
    recipe = _with_counted_samples(recipe, arguments, near)
    recipe = _with_cpus(recipe, shape, job)
    recipe = recipe.noting(*launches.remarks)
    if launch.command.doubt:
        recipe = recipe.asking(Question("run.runs", f"{place}: {launch.command.doubt}"))
    if launches.others:
        lines = ", ".join(f"line {other.command.line} ({other.program_name})" for other in launches.others)
        recipe = recipe.noting(f"{script.name}: {lines} may train as well: left out")
    return recipe


def _gpus(
    launch: LaunchLine,
    arguments: ProgramArguments,
    shape: BatchShape,
    by_srun: BatchShape,
    files: Files,
    script: "Script",
) -> Recipe:
    asks = _asks_for_nodes(script.text)
    if stated := script.stated:
        named = {"training.gpus": "GPUs", "cluster.nodes": "nodes"}
        recipe = Recipe.of(
            *(
                Setting(key, stated[key], f"the {what} that were given")
                for key, what in named.items()
                if key in stated
            )
        )
        if len(recipe.settings) == len(named):
            return recipe
    else:
        recipe = Recipe()
    claims = [
        GpuClaim(each.gpus, each.nodes or (1 if each.gpus and not asks and not stated else None), each.source)
        for each in (shape, by_srun)
        if each.gpus or each.nodes
    ]
    claims += claim_gpus(launch, script.name)
    if (config := read_launcher_config(launch, files)) and not any(claim.gpus for claim in claims):
        name = Path(launch.option("config_file") or "").name
        claims.append(GpuClaim(config.gpus, config.nodes if config.gpus else None, f"{name}: num_processes"))
    if arguments.format:
        claims += arguments.format.claim_gpus(arguments.all)
    recipe = recipe.over(
        agree_on_gpus(claims, gpus_hinted(launch, script.name) or _tasks_hinted(launch, shape))
    )
    if shape.gpus and not shape.nodes and asks and not stated:
        why = f"{script.name} has no --nodes, but asks how many nodes it has: they may have been given to sbatch itself"
        per_node = Question("training.gpus", f"{shape.gpus} per node; {why}", shape.gpus)
        return recipe.asking(Question("cluster.nodes", why, 1), per_node)
    if (doubt := nodes_in_doubt(launch)) and "cluster.nodes" not in stated:
        recipe = recipe.asking(
            Question("cluster.nodes", f"{script.name}: --nnodes {doubt} leaves the nodes open")
        )
    return recipe


def _tasks_hinted(launch: LaunchLine, shape: BatchShape) -> GpuClaim | None:
    """Several tasks of a node, each with the program in it, have a GPU each where it is usual."""
    if launch.srun is None or (shape.tasks_per_node or 1) == 1:
        return None
    return GpuClaim((shape.tasks_per_node or 1) * (shape.nodes or 1), shape.nodes, shape.source)


def _asks_for_nodes(text: str) -> bool:
    return re.search(r"SLURM_(JOB_NUM_NODES|NNODES)\b", text) is not None


def _srun_request(launch: LaunchLine, script: str) -> tuple[Recipe, BatchShape]:
    """The resources on srun's own line, and its options that the run's srun takes."""
    options = launch.srun or ()
    line = launch.command.line
    asked = [
        SbatchOption(o.name, o.value, line)
        for o in options
        if o.is_of_image or not (o.is_for_srun or o.is_needless)
    ]
    try:
        request, shape = read_batch_request(asked, script)
    except InputError:  # a variable that is not known here
        request, shape = Recipe(), BatchShape()
    kept = tuple(word for o in options if o.is_for_srun and not o.is_of_image for word in o.words)
    if kept:
        place = f"{script} line {line}: srun {' '.join(kept)}"
        request = Recipe.of(Setting("run.srun", kept, place)).over(request)
    return request, shape


def _with_counted_samples(recipe: Recipe, arguments: ProgramArguments, files: Files) -> Recipe:
    """A proposal for the samples, where the data file that is named is here."""
    has_length = any(recipe.value(key) for key in ("data.samples", "data.tokens", "training.max_steps"))
    is_asked = any(question.key == "data.samples" for question in recipe.questions)
    counted = None if has_length or is_asked else count_samples(arguments.all, files)
    if counted is None:
        return recipe
    why = f"{counted[1]}: {counted[0]:,} samples are in the file, before the program's filters and splits"
    return recipe.asking(Question("data.samples", why, counted[0]))


def _in_its_folder(recipe: Recipe, launch: LaunchLine, script: "Script") -> Recipe:
    """The folder of checkpoints is one of the folder that the script has gone to."""
    setting = recipe.settings.get("checkpoint.folder")
    if setting is None:
        return recipe
    if "$" in str(setting.value):
        remark = f"{setting.source}: only the run knows this folder: checkpoints go to the run's own"
        return recipe.without("checkpoint.folder").noting(remark)
    folder = launch.command.folder
    if folder and Path(folder) != script.folder and not Path(str(setting.value)).is_absolute():
        moved = replace(setting, value=str(Path(folder) / str(setting.value)))
        return recipe.set(moved)
    return recipe


def _with_cpus(recipe: Recipe, shape: BatchShape, job: JobShape) -> Recipe:
    """CPUs are of a task: rescaled where clusterplan starts another number of tasks on a node."""
    setting = recipe.settings.get("slurm.cpus-per-task")
    theirs = shape.tasks_per_node or 1
    tasks = (job.gpus_per_node or theirs) if recipe.value("run.bootstrap") == "per-gpu" else 1
    if setting is None or theirs == tasks or not isinstance(setting.value, int):
        return recipe
    cpus = max(setting.value * theirs // tasks, 1)
    source = f"{setting.source} x {theirs} tasks, for {tasks}"
    return recipe.set(Setting(setting.key, cpus, source))
