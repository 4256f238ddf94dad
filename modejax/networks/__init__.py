"""Architectures, each in a file of its own, as records of pure functions.

Read `base` first: a `Network` has `init` and `apply`, and a `Chain` of weight maps also has truncation and pruning
curves. `assembled` builds chains from families of `modejax.layers`: `mlp`, `residual` and `conv` (with `norms`). `tied`
and `sparcs` share factors between their maps. `registry` builds a network from names, `check` tests a custom network,
`precision` makes any network compute in bfloat16. Networks know layers; they know nothing of training or data.
"""

from modejax.networks.assembled import Assembled as Assembled
from modejax.networks.assembled import Placed as Placed
from modejax.networks.base import ACTIVATIONS as ACTIVATIONS
from modejax.networks.base import Activation as Activation
from modejax.networks.base import Chain as Chain
from modejax.networks.base import Network as Network
from modejax.networks.base import Params as Params
from modejax.networks.base import WeightMap as WeightMap
from modejax.networks.check import check_network as check_network
from modejax.networks.conv import Conv as Conv
from modejax.networks.conv import ConvParams as ConvParams
from modejax.networks.conv import conv as conv
from modejax.networks.mlp import MLP as MLP
from modejax.networks.mlp import mlp as mlp
from modejax.networks.precision import in_bfloat16 as in_bfloat16
from modejax.networks.residual import Residual as Residual
from modejax.networks.residual import residual as residual
from modejax.networks.sparcs import Sparcs as Sparcs
from modejax.networks.sparcs import SparcsParams as SparcsParams
from modejax.networks.sparcs import sparcs as sparcs
from modejax.networks.tied import Tied as Tied
from modejax.networks.tied import TiedParams as TiedParams
from modejax.networks.tied import tied as tied
