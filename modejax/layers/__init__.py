"""Parametrisations of a weight matrix, one file a family.

Read `base` first: it holds the contract, a NamedTuple of pure functions over arrays. `dense`, `mode`, `low_rank`, `svd`
and `spectral` fulfil it; `spectral_start` says how the last one starts, `spectral_operator` writes its operator out.
`mode_conv` and `spectral_conv` are convolutions, with their geometry in `convolution`; `masked` makes the weights of
any layer sparse, `biased` adds a bias, and `from_kernel` starts a layer from a trained kernel. A layer knows one map
between two layers of units; networks, training and data may not come in.
"""

from modejax.layers.base import Layer as Layer
from modejax.layers.base import LayerParams as LayerParams
from modejax.layers.base import Modes as Modes
from modejax.layers.base import dense_is_cheaper as dense_is_cheaper
from modejax.layers.base import no_penalty as no_penalty
from modejax.layers.base import paper_scale as paper_scale
from modejax.layers.biased import BiasedParams as BiasedParams
from modejax.layers.biased import biased as biased
from modejax.layers.dense import DenseParams as DenseParams
from modejax.layers.dense import dense as dense
from modejax.layers.from_kernel import SingularModes as SingularModes
from modejax.layers.from_kernel import low_rank_from_modes as low_rank_from_modes
from modejax.layers.from_kernel import mode_from_modes as mode_from_modes
from modejax.layers.from_kernel import singular_modes as singular_modes
from modejax.layers.from_kernel import spectral_conv_from_kernel as spectral_conv_from_kernel
from modejax.layers.from_kernel import spectral_from_kernel as spectral_from_kernel
from modejax.layers.low_rank import LowRankParams as LowRankParams
from modejax.layers.low_rank import low_rank as low_rank
from modejax.layers.masked import MASKS as MASKS
from modejax.layers.masked import MaskedParams as MaskedParams
from modejax.layers.masked import masked as masked
from modejax.layers.mode import ModeParams as ModeParams
from modejax.layers.mode import mode as mode
from modejax.layers.mode_conv import ModeConvParams as ModeConvParams
from modejax.layers.mode_conv import mode_conv as mode_conv
from modejax.layers.spectral import SPECTRAL_VARIANTS as SPECTRAL_VARIANTS
from modejax.layers.spectral import SpectralParams as SpectralParams
from modejax.layers.spectral import spectral as spectral
from modejax.layers.spectral_conv import SpectralConvParams as SpectralConvParams
from modejax.layers.spectral_conv import spectral_conv as spectral_conv
from modejax.layers.spectral_operator import TransferOperator as TransferOperator
from modejax.layers.spectral_operator import eigenvalues as eigenvalues
from modejax.layers.spectral_operator import eigenvector_block as eigenvector_block
from modejax.layers.spectral_operator import fix_gauge as fix_gauge
from modejax.layers.spectral_operator import transfer_operator as transfer_operator
from modejax.layers.spectral_start import SPECTRAL_STARTS as SPECTRAL_STARTS
from modejax.layers.spectral_start import QRFactors as QRFactors
from modejax.layers.spectral_start import SVDFactors as SVDFactors
from modejax.layers.svd import SVDParams as SVDParams
from modejax.layers.svd import svd as svd
