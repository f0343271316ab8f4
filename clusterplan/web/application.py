"""Datasette on a history file, with our pages, behind the gate."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import PackageMissing
from .access.gate import App, Gate
from .access.keys import Keys

if TYPE_CHECKING:
    from datasette.app import Datasette

# Tables that no person reads: blobs, and millions of rows that views show better.
_HIDDEN = ("raw_block", "rollup_row", "series", "spool", "spool_gpu", "package_list", "_sqlite_migrations")
_SETTINGS = {
    "suggest_facets": False,  # it tries each column of a table
    "allow_download": False,  # of a file that is written meanwhile
    "num_sql_threads": 2,
    "default_page_size": 30,  # of a table: 100 rows of 23 columns keep everybody waiting for a tenth of a second
}


def make_application(history: Path, keys: Keys, port: int = 0) -> App:
    """Return the ASGI application that serves a history file to who has a key."""
    return Gate(open_datasette(history).app(), keys, port)


def check_datasette() -> None:
    """Raise PackageMissing without Datasette."""
    try:
        import datasette.app  # noqa: F401, PLC0415  an optional extra
    except ImportError:
        raise PackageMissing('the pages need Datasette: pip install "clusterplan[serve]"') from None


def open_datasette(history: Path) -> "Datasette":
    """Return a Datasette with our plugin on a file that it only reads.

    Plugins that are installed for other uses are left out: some write, and some ask other machines.
    """
    from datasette.app import Datasette  # noqa: PLC0415  an optional extra
    from datasette.plugins import pm  # noqa: PLC0415  likewise

    from . import plugin  # noqa: PLC0415  likewise

    for other, _ in pm.list_plugin_distinfo():
        pm.unregister(other)
    if not pm.is_registered(plugin):
        pm.unregister(name="datasette.handle_exception")  # ours answers
        pm.register(plugin, "clusterplan")
    tables: dict[str, Any] = {name: {"hidden": True} for name in _HIDDEN}
    metadata = {"title": "clusterplan: the history", "databases": {history.stem: {"tables": tables}}}
    datasette = Datasette(files=[str(history)], metadata=metadata, settings=_SETTINGS)
    plugin.serve_history(datasette, history)
    return datasette
