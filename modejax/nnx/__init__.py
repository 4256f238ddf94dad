"""The layers as Flax NNX modules, and trained Flax networks as modes.

`base` holds what modules share: a pure layer of `modejax.layers`, whose arrays are `nnx.Param`s or, where they are not
trained, `Frozen`. `linear` and `conv` are the modules; `convert` goes from `nnx.Linear` and `nnx.Conv` to them and
back; `models` does so for a whole model. The numerics of a layer are in `modejax.layers`, never here.

Example:
    >>> from flax import nnx
    >>> from modejax.nnx import ModeLinear, from_dense
    >>> dense = nnx.Linear(8, 4, rngs=nnx.Rngs(0))
    >>> from_dense(dense, modes=2).num_parameters()
    30
"""

from typing import TYPE_CHECKING

from modejax._lazy import lazy as _lazy

if TYPE_CHECKING:
    from modejax.nnx.base import Frozen as Frozen
    from modejax.nnx.base import LayerModule as LayerModule
    from modejax.nnx.conv import ModeConv as ModeConv
    from modejax.nnx.conv import SpectralConv as SpectralConv
    from modejax.nnx.convert import from_dense as from_dense
    from modejax.nnx.convert import to_dense as to_dense
    from modejax.nnx.linear import LowRankLinear as LowRankLinear
    from modejax.nnx.linear import ModeLinear as ModeLinear
    from modejax.nnx.linear import SpectralLinear as SpectralLinear
    from modejax.nnx.models import Decomposed as Decomposed
    from modejax.nnx.models import LayerReport as LayerReport
    from modejax.nnx.models import decompose as decompose

__getattr__, __dir__, __all__ = _lazy(
    __name__,
    {
        "base": ["Frozen", "LayerModule"],
        "conv": ["ModeConv", "SpectralConv"],
        "convert": ["from_dense", "to_dense"],
        "linear": ["LowRankLinear", "ModeLinear", "SpectralLinear"],
        "models": ["Decomposed", "LayerReport", "decompose"],
    },
)
