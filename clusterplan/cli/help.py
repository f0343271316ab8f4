"""The order of a help text: what most people need first, then the rest by what it is about, the output last."""

from collections.abc import Iterable, Mapping

import click

COMMON = "Common options"
OUTPUT = "Output"

# A table of the job file, and the title of its flags.
TABLES = {
    "data": "Data",
    "training": "Training",
    "throughput": "Speed",
    "model": "Model",
    "name": "Model",
    "architecture": "Model",
    "cluster": "Cluster",
}
_OUTPUT_NAMES = {"as_json", "explain", "plot", "dry_run", "follow", "output", "svg", "help"}


def write_groups(
    context: click.Context,
    formatter: click.HelpFormatter,
    titles: Mapping[str, str],
    common: Iterable[str],
    own: str,
) -> None:
    """Write the options of a command by groups, in the order of `TABLES`.

    `titles` has the group of a parameter by its name; `common` are the names of those that stand first.  The others are
    the command's own, under `own`, and those that only change what is printed.
    """
    groups: dict[str, list[tuple[str, str]]] = {
        title: [] for title in dict.fromkeys((COMMON, *TABLES.values(), own, OUTPUT))
    }
    first = {name: place for place, name in enumerate(common)}
    parameters = context.command.get_params(context)
    for parameter in sorted(parameters, key=lambda each: first.get(each.name or "", len(first))):
        record, name = parameter.get_help_record(context), parameter.name or ""
        if record:
            title = OUTPUT if name in _OUTPUT_NAMES else titles.get(name, own)
            groups[COMMON if name in first else title].append(record)
    for title, records in groups.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)
