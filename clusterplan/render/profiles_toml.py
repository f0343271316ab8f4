"""A profile as the TOML file that holds it."""

import json
from collections.abc import Iterator, Sequence

from ..cluster_profiles.profile import ClusterProfile
from ..cluster_profiles.toml_file import Section
from ..cluster_profiles.units import slurm_time


def profile_as_toml(profile: ClusterProfile, notes: Sequence[str]) -> str:
    r"""Return the file of a profile without rates or links, with `notes` as comments.

    >>> from clusterplan.cluster_profiles.profile import Partition
    >>> profile_as_toml(ClusterProfile(name="a", partitions=(Partition(name="p", nodes=1, gpus_per_node=8),)), ["so"])
    '# so\n\nname = "a"\n\n[[partitions]]\nname = "p"\nnodes = 1\ngpus_per_node = 8\n'
    """
    lines = [*(f"# {note}" for note in notes), "", *_keys(profile)]
    for partition in profile.partitions:
        lines += ["", "[[partitions]]", *_keys(partition)]
    return "\n".join(lines).lstrip("\n") + "\n"


def _keys(table: Section) -> Iterator[str]:
    for key in type(table).model_fields:
        value = getattr(table, key)
        if key in table.model_fields_set and key != "partitions" and value is not None:
            # A JSON string, number, list or boolean is one of TOML too.
            yield f"{key} = {json.dumps(slurm_time(value) if key == 'time_limit' else value, ensure_ascii=False)}"
