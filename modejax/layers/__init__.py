"""Parametrisations of a weight map; each is a frozen dataclass in a file of its own.

Read `base` first: it has the base class `Family`, whose subclasses are `Dense`, `Mode`, `LowRank`, `SVD` and
`Spectral`; `spectral_start` has the initial distributions of `Spectral`, `spectral_operator` its transfer operator as a
matrix. `DenseConv`, `LowRankConv`, `ModeConv` and `SpectralConv` are convolutions, with their geometry in
`convolution`; `Masked` makes the weights of any family sparse, `Biased` adds a bias, and `from_kernel` starts a layer
from a trained kernel. `registry` makes families by name, `check` tests a custom family. A family describes one map
between two layers of units, and knows nothing of networks, training and data.
"""

from modejax.layers.base import Family as Family
from modejax.layers.base import LayerParams as LayerParams
from modejax.layers.base import Modes as Modes
from modejax.layers.base import count_rows as count_rows
from modejax.layers.base import dense_is_cheaper as dense_is_cheaper
from modejax.layers.base import known_modes as known_modes
from modejax.layers.base import over_rows as over_rows
from modejax.layers.base import paper_scale as paper_scale
from modejax.layers.base import plus_bias as plus_bias
from modejax.layers.biased import Biased as Biased
from modejax.layers.biased import BiasedParams as BiasedParams
from modejax.layers.check import check_family as check_family
from modejax.layers.convolution import ConvFamily as ConvFamily
from modejax.layers.convolution import convolve as convolve
from modejax.layers.convolution import draw_filters as draw_filters
from modejax.layers.dense import Dense as Dense
from modejax.layers.dense import DenseParams as DenseParams
from modejax.layers.dense_conv import DenseConv as DenseConv
from modejax.layers.dense_conv import DenseConvParams as DenseConvParams
from modejax.layers.from_kernel import SingularModes as SingularModes
from modejax.layers.from_kernel import low_rank_from_modes as low_rank_from_modes
from modejax.layers.from_kernel import mode_from_modes as mode_from_modes
from modejax.layers.from_kernel import singular_modes as singular_modes
from modejax.layers.from_kernel import spectral_conv_from_kernel as spectral_conv_from_kernel
from modejax.layers.from_kernel import spectral_from_kernel as spectral_from_kernel
from modejax.layers.low_rank import LowRank as LowRank
from modejax.layers.low_rank import LowRankParams as LowRankParams
from modejax.layers.low_rank_conv import LowRankConv as LowRankConv
from modejax.layers.low_rank_conv import LowRankConvParams as LowRankConvParams
from modejax.layers.masked import Masked as Masked
from modejax.layers.masked import MaskedParams as MaskedParams
from modejax.layers.mode import Mode as Mode
from modejax.layers.mode import ModeParams as ModeParams
from modejax.layers.mode_conv import ModeConv as ModeConv
from modejax.layers.mode_conv import ModeConvParams as ModeConvParams
from modejax.layers.registry import make_family as make_family
from modejax.layers.spectral import SPECTRAL_VARIANTS as SPECTRAL_VARIANTS
from modejax.layers.spectral import Spectral as Spectral
from modejax.layers.spectral import SpectralParams as SpectralParams
from modejax.layers.spectral_conv import SpectralConv as SpectralConv
from modejax.layers.spectral_conv import SpectralConvParams as SpectralConvParams
from modejax.layers.spectral_operator import TransferOperator as TransferOperator
from modejax.layers.spectral_operator import eigenvalues as eigenvalues
from modejax.layers.spectral_operator import eigenvector_block as eigenvector_block
from modejax.layers.spectral_operator import fix_gauge as fix_gauge
from modejax.layers.spectral_operator import transfer_operator as transfer_operator
from modejax.layers.spectral_start import SPECTRAL_STARTS as SPECTRAL_STARTS
from modejax.layers.spectral_start import QRFactors as QRFactors
from modejax.layers.spectral_start import SVDFactors as SVDFactors
from modejax.layers.svd import SVD as SVD
from modejax.layers.svd import SVDParams as SVDParams
from modejax.names import MASKS as MASKS
