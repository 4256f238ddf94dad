"""Mode-decomposed neural networks in JAX: a whole sweep over widths and modes as one compiled program.

Read `extent` and `layers` first, then `networks`, `training` and `truncation`, then `sweep` and `modes`. Everything is
imported on first use.

Example:
    >>> import modejax
    >>> network = modejax.mlp([64, 32, 10], modejax.layers.Mode(), 5)
    >>> network.num_parameters()
    700
"""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING

from modejax._lazy import lazy as _lazy

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
    from modejax import svr as svr
    from modejax import training as training
    from modejax import truncation as truncation
    from modejax import weights as weights
    from modejax.data import load_dataset as load_dataset
    from modejax.errors import InputError as InputError
    from modejax.extent import Extent as Extent
    from modejax.networks import mlp as mlp
    from modejax.networks import tied_mode_mlp as tied_mode_mlp
    from modejax.sparcs import sparcs_mlp as sparcs_mlp
    from modejax.sweep.config import SweepConfig as SweepConfig
    from modejax.sweep.plan import make_plan as make_plan
    from modejax.sweep.removal import removal_curves as removal_curves
    from modejax.sweep.result import load_result as load_result
    from modejax.sweep.run import run_sweep as run_sweep
    from modejax.sweep.trained import load_networks as load_networks

__version__ = _version("modejax")

__getattr__, __dir__, __all__ = _lazy(
    __name__,
    {
        "data": [],
        "errors": ["InputError"],
        "extent": ["Extent"],
        "interpolation": [],
        "layers": [],
        "networks": ["mlp", "tied_mode_mlp"],
        "modes": [],
        "nnx": [],
        "online": [],
        "plots": [],
        "pruning": [],
        "sparcs": ["sparcs_mlp"],
        "sweep.config": ["SweepConfig"],
        "sweep.plan": ["make_plan"],
        "sweep.removal": ["removal_curves"],
        "sweep.result": ["load_result"],
        "sweep.run": ["run_sweep"],
        "sweep.trained": ["load_networks"],
        "data.catalog": ["load_dataset"],
        "svr": [],
        "training": [],
        "truncation": [],
        "weights": [],
    },
)
