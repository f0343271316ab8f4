"""Names of MIG slices: what NVIDIA, Slurm and sites call a part of a GPU."""

import re
from dataclasses import dataclass

# NVIDIA's profiles are 1g.10gb, 1g.10gb+me, 1c.3g.20gb and the like; sites also leave the point out, or say only "mig"
# (https://docs.nvidia.com/datacenter/tesla/mig-user-guide/, https://slurm.schedmd.com/gres.html#MIG_Management).
_SLICE = re.compile(
    r"(?:(?P<gpu>.+?)[ _.-])??(?:mig[ _.-]?)?(?P<profile>(?:[1-7]c[._-]?)?[1-7]g[._-]?\d+gb(?:[+._-]\w+)?)"
    r"|(?:(?P<of>.+?)[ _.-]?)?(?P<mig>mig)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Slice:
    """A MIG slice: its profile, and what its GPU is called, None if the name does not say it."""

    profile: str
    gpu: str | None


def parse_slice(name: str) -> Slice | None:
    """Return the slice that Slurm or NVML calls `name`; None if that is a whole GPU.

    >>> parse_slice("nvidia_h100_80gb_hbm3_1g.10gb")
    Slice(profile='1g.10gb', gpu='nvidia_h100_80gb_hbm3')
    >>> parse_slice("3g.39gb"), parse_slice("A100 MIG 1g.5gb"), parse_slice("tesla_v100-sxm2-32gb")
    (Slice(profile='3g.39gb', gpu=None), Slice(profile='1g.5gb', gpu='A100'), None)
    """
    match = _SLICE.fullmatch(name.strip())
    if match is None:
        return None
    return Slice((match["profile"] or match["mig"]).lower(), match["gpu"] or match["of"] or None)
