"""Mode-decomposed neural networks in JAX: a whole sweep over widths and modes as one compiled program.

Read `extent` and `layers` first, then `networks`, `training` and `truncation`, then `sweep`, `runs` and `modes`.
Everything is imported on first use.

Example:
    >>> import modejax
    >>> network = modejax.mlp([64, 32, 10], modejax.layers.Mode(), modes=5)
    >>> network.num_parameters()
    700
"""

from typing import TYPE_CHECKING

from modejax._lazy import lazy as _lazy
from modejax._versions import version as _version

if TYPE_CHECKING:
    from modejax import data as data
    from modejax import interpolation as interpolation
    from modejax import layers as layers
    from modejax import modes as modes
    from modejax import networks as networks
    from modejax import nnx as nnx
    from modejax import online as online
    from modejax import plots as plots
    from modejax import pruning as pruning
    from modejax import runs as runs
    from modejax import svr as svr
    from modejax import training as training
    from modejax import truncation as truncation
    from modejax import weights as weights
    from modejax.data import load_dataset as load_dataset
    from modejax.errors import InputError as InputError
    from modejax.extent import Extent as Extent
    from modejax.layers import check_family as check_family
    from modejax.networks import check_network as check_network
    from modejax.networks import conv as conv
    from modejax.networks import mlp as mlp
    from modejax.networks import residual as residual
    from modejax.networks import sparcs as sparcs
    from modejax.networks import tied as tied
    from modejax.runs.removal import removal_curves as removal_curves
    from modejax.runs.run import Run as Run
    from modejax.runs.run import combine as combine
    from modejax.runs.run import open_run as open_run
    from modejax.runs.sweep import run_sweep as run_sweep
    from modejax.sweep.arm import Arm as Arm
    from modejax.sweep.config import SweepConfig as SweepConfig
    from modejax.sweep.plan import make_plan as make_plan

__version__ = _version("modejax")

__getattr__, __dir__, __all__ = _lazy(
    __name__,
    {
        "data": [],
        "errors": ["InputError"],
        "extent": ["Extent"],
        "interpolation": [],
        "layers": [],
        "layers.check": ["check_family"],
        "networks": [],
        "networks.check": ["check_network"],
        "networks.conv": ["conv"],
        "networks.mlp": ["mlp"],
        "networks.residual": ["residual"],
        "networks.sparcs": ["sparcs"],
        "networks.tied": ["tied"],
        "modes": [],
        "nnx": [],
        "online": [],
        "plots": [],
        "pruning": [],
        "runs": [],
        "runs.removal": ["removal_curves"],
        "runs.run": ["Run", "combine", "open_run"],
        "runs.sweep": ["run_sweep"],
        "sweep.arm": ["Arm"],
        "sweep.config": ["SweepConfig"],
        "sweep.plan": ["make_plan"],
        "data.catalog": ["load_dataset"],
        "svr": [],
        "training": [],
        "truncation": [],
        "weights": [],
    },
)
