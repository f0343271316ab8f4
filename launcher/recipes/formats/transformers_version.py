"""The version of transformers that a training repository pins, which decides how its Trainer counts steps."""

import re
from collections.abc import Sequence
from pathlib import Path

from ..files import read_text
from ..recipe import Setting

_PINNED = re.compile(
    r"""^[^#\n]*?(?<![\w-])transformers(?:\[[^\]]*\])?\s*(==|~=|<=?|>=)\s*v?(\d+)\.(\d+)""", re.MULTILINE
)
_OLD_RULE_UNTIL = (4, 51)


def read_framework(folders: Sequence[Path]) -> Setting:
    """Return `framework` by the version that requirements beside the script pin; "hf" where none is pinned.

    Up to 4.51 an epoch has batches // accumulation steps, later rounded up.
    """
    for folder in folders:
        for path in [
            *sorted(folder.glob("requirements*.txt")),
            folder / "pyproject.toml",
            folder / "setup.py",
        ]:
            pinned = _PINNED.search(read_text(path) or "") if path.is_file() else None
            if pinned and pinned[1] != ">=":
                version = (int(pinned[2]), int(pinned[3]))
                below = pinned[1] == "<"
                is_old = version <= _OLD_RULE_UNTIL or (below and version == (4, 52))
                source = f"{path.name}: transformers{pinned[1]}{pinned[2]}.{pinned[3]}"
                return Setting("training.framework", "hf-4.51" if is_old else "hf", source)
    source = 'the newest rule of Trainer; transformers up to 4.51 counts by "hf-4.51"'
    return Setting("training.framework", "hf", source)
