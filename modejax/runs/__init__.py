"""The folders that commands write: locked, marked, put in place atomically, and checked when they are read.

`folder` is for writing: `output` gives a command a folder to work in and puts it in place when it is finished,
`new_folder` returns a numbered name. `reader` is for reading: every file of a finished folder is checked against the
marker, and malformed files raise `InputError`. `_marker` and `_lock` are the marker file and the lock of a name.
`networks` stores trained networks as arrays by name, `run` is a finished run in memory or in a folder, and `sweep`
trains a run and stores it. `folder`, `reader` and `_marker` do not import JAX; every command uses them.
"""

from typing import TYPE_CHECKING

from modejax._lazy import lazy

if TYPE_CHECKING:
    from modejax.runs._marker import KINDS as KINDS
    from modejax.runs._marker import MARKER as MARKER
    from modejax.runs._marker import Marker as Marker
    from modejax.runs._marker import Record as Record
    from modejax.runs.folder import Output as Output
    from modejax.runs.folder import has_unfinished as has_unfinished
    from modejax.runs.folder import new_folder as new_folder
    from modejax.runs.folder import output as output
    from modejax.runs.folder import unfinished as unfinished
    from modejax.runs.reader import check_config as check_config
    from modejax.runs.reader import kind_of as kind_of
    from modejax.runs.reader import read_bytes as read_bytes
    from modejax.runs.reader import read_json as read_json
    from modejax.runs.reader import read_marker as read_marker
    from modejax.runs.reader import read_netcdf as read_netcdf
    from modejax.runs.run import Run as Run
    from modejax.runs.run import combine as combine
    from modejax.runs.run import open_run as open_run
    from modejax.runs.sweep import Keep as Keep
    from modejax.runs.sweep import perform as perform
    from modejax.runs.sweep import run_sweep as run_sweep

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "_marker": ["KINDS", "MARKER", "Marker", "Record"],
        "folder": ["Output", "has_unfinished", "new_folder", "output", "unfinished"],
        "run": ["Run", "combine", "open_run"],
        "sweep": ["Keep", "perform", "run_sweep"],
        "reader": ["check_config", "kind_of", "read_bytes", "read_json", "read_marker", "read_netcdf"],
    },
)
