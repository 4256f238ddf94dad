"""Singular value representation: the graph of a trained network's spectral neurons, with exact statistics.

Read `neurons` first (the singular triples of a kernel), then `edges` (how one layer's neurons feed the next one's),
`null`, `tails` and `pair` (null distributions of edges), `description` (the structure of a network, with `layers`,
`chains`, `norms` and `residual`), `graph` (the result) and `build` (`svr`, which builds it), then `derived`, `spectra`,
`compare` and `batch`. The package takes arrays and weight files, and does not depend on training and sweeps.

References:
    Meller and Berkouk, Singular Value Representation: A New Graph Perspective On Neural Networks, AISTATS 2023, arXiv
    2302.08183. Only its abstract and the released code were available; statistics are this project's own.
"""

from modejax.svr import derived as derived
from modejax.svr import null as null
from modejax.svr.batch import member_edges as member_edges
from modejax.svr.batch import members as members
from modejax.svr.build import svr as svr
from modejax.svr.compare import Comparison as Comparison
from modejax.svr.compare import compare as compare
from modejax.svr.derived import dead_channels as dead_channels
from modejax.svr.derived import near_kernel as near_kernel
from modejax.svr.derived import near_kernel_block as near_kernel_block
from modejax.svr.description import Description as Description
from modejax.svr.description import Stream as Stream
from modejax.svr.description import describe as describe
from modejax.svr.description import load_kernel as load_kernel
from modejax.svr.edges import edges as edges
from modejax.svr.edges import effective_filters as effective_filters
from modejax.svr.graph import SVR as SVR
from modejax.svr.neurons import SpectralLayer as SpectralLayer
from modejax.svr.neurons import haar as haar
from modejax.svr.neurons import spectral_layer as spectral_layer
from modejax.svr.pair import Pair as Pair
from modejax.svr.spectra import layer_spectra as layer_spectra
