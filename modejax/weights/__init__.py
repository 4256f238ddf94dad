"""Trained weights as they come: files and trees of arrays in, named arrays and kernels with known axes out.

Read `files` first (safetensors, npz, PyTorch, Orbax), then `trees` (Flax NNX, Linen, nested dictionaries), then
`kernels` (which array is a kernel, a bias or a norm, and in which order its axes lie). What is done with the weights
may not come in.
"""

from modejax.weights.files import Weights as Weights
from modejax.weights.files import read_weights as read_weights
from modejax.weights.kernels import Kernel as Kernel
from modejax.weights.kernels import Layout as Layout
from modejax.weights.kernels import Norm as Norm
from modejax.weights.kernels import canonical as canonical
from modejax.weights.kernels import find_kernels as find_kernels
from modejax.weights.kernels import find_norms as find_norms
from modejax.weights.kernels import restore as restore
from modejax.weights.trees import named_arrays as named_arrays
