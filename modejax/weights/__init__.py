"""Reading trained weights: from files and trees of arrays to named arrays and kernels with known axes.

Read `arrays` first (named arrays, and what a file says of them), then `files` and the readers beside it (safetensors,
npz, PyTorch, ONNX, Keras, Orbax) and `trees` (Flax NNX, Linen, nested dictionaries). `inventory` says what each array
is: `roles` sorts out what is no weight, `stacks`, `evidence` and `groups` tell kinds and axes, `axes` and `derived`
bring kernels into one order. The analysis of the weights is in other packages.
"""

from modejax.weights.arrays import Weights as Weights
from modejax.weights.axes import UserLayout as UserLayout
from modejax.weights.axes import canonical as canonical
from modejax.weights.axes import restore as restore
from modejax.weights.files import read_weights as read_weights
from modejax.weights.inventory import find_kernels as find_kernels
from modejax.weights.inventory import find_norms as find_norms
from modejax.weights.inventory import inventory as inventory
from modejax.weights.kernels import Inventory as Inventory
from modejax.weights.kernels import Kernel as Kernel
from modejax.weights.kernels import Norm as Norm
from modejax.weights.kernels import read_bias as read_bias
from modejax.weights.kernels import read_kernel as read_kernel
from modejax.weights.kernels import write_kernel as write_kernel
from modejax.weights.trees import named_arrays as named_arrays
from modejax.weights.trees import tree_weights as tree_weights
