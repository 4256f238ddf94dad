"""Weight files as mappings from names to arrays, read when asked for; no file is written to and no pickle is run."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modejax.errors import InputError

__all__ = ["Weights", "read_weights"]


class Weights(Mapping[str, np.ndarray]):
    """Named arrays of which shapes are known and values are read when asked for.

    Attributes:
        shapes: for each name the shape of the array.
        source: where they come from, for messages.
        stored: for each name that in the file.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], load: Callable[[str], Any], source: str) -> None:
        self.stored = {_plain(name): name for name in shapes}
        if len(self.stored) != len(shapes):
            raise InputError(
                f"{source} has two arrays of one name but for / and . or params and batch_stats; rename one"
            )
        self.shapes = {name: tuple(shapes[old]) for name, old in self.stored.items()}
        self.source = source
        self._load = load

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.shapes:
            raise KeyError(name)
        return np.asarray(self._load(self.stored[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __repr__(self) -> str:
        count = sum(math.prod(shape) for shape in self.shapes.values())
        return f"Weights({self.source}: {len(self)} arrays, {count} numbers)"

    @classmethod
    def of(cls, arrays: Mapping[str, Any], source: str) -> Weights:
        """Return arrays that are in memory.

        Example:
            >>> Weights.of({"fc.weight": np.zeros((2, 3))}, "doctest")
            Weights(doctest: 1 arrays, 6 numbers)
        """
        if isinstance(arrays, Weights):
            return arrays
        return cls({name: tuple(np.shape(each)) for name, each in arrays.items()}, arrays.__getitem__, source)


def _plain(name: str) -> str:
    """Return a name with dots, without the collections of Linen before it."""
    name = name.replace("/", ".")
    for collection in ("params.", "batch_stats."):
        name = name.removeprefix(collection)
    return name


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Open a weight file.

    Args:
        path: `FILE.safetensors`; `FILE.npz`; `FILE.pt`, `.pth` or `.bin` of PyTorch, if torch is installed (state dicts
            only, opened with `weights_only`); or the folder of an Orbax checkpoint.

    Returns:
        The arrays by name. Parts of a name are separated by dots, and the names of Linen's collections are left out.
        PyTorch and NumPy files keep the order in which they were written, the others sort the names.

    Raises:
        InputError: the file is missing, damaged, holds pickles, or has another format.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(Path(folder) / "net.npz", **{"fc.weight": np.zeros((2, 3))})
        ...     read_weights(Path(folder) / "net.npz").shapes
        {'fc.weight': (2, 3)}
    """
    path = Path(path)
    readers = {
        ".safetensors": _safetensors,
        ".npz": _npz,
        ".pt": _torch,
        ".pth": _torch,
        ".bin": _torch,
    }
    if path.is_dir():
        return _orbax(path)
    if path.suffix not in readers:
        raise InputError(
            f"{path} has a format that is not known; allowed: {', '.join(readers)}, or a folder of an Orbax checkpoint"
        )
    if not path.is_file():
        raise InputError(f"there is no file {path}; give a weight file ({', '.join(readers)}) or a checkpoint folder")
    return readers[path.suffix](path)


def _safetensors(path: Path) -> Weights:
    from safetensors import SafetensorError, safe_open

    try:
        handle = safe_open(path, framework="numpy")
        with handle as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as safetensors ({error})") from None

    def load(name: str) -> np.ndarray:
        with safe_open(path, framework="numpy") as file:
            return np.asarray(file.get_tensor(name))

    return Weights(shapes, load, str(path))


def _npz(path: Path) -> Weights:
    def header(member: Any) -> tuple[tuple[int, ...], np.dtype]:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
        return shape, dtype

    shapes: dict[str, tuple[int, ...]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                with archive.open(info) as member:
                    shape, dtype = header(member)
                name = info.filename.removesuffix(".npy")
                if dtype.hasobject:
                    raise InputError(f"{path}: the array {name} is a pickle, which is not read; save arrays of numbers")
                shapes[name] = shape
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as an .npz archive of numbers ({error})") from None

    def load(name: str) -> np.ndarray:
        try:
            with np.load(path, allow_pickle=False) as archive:
                return archive[name]
        except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{path}: the array {name} is damaged ({error})") from None

    return Weights(shapes, load, str(path))


def _torch(path: Path) -> Weights:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError(f"{path} needs PyTorch, which is not installed; install it, or save as .safetensors") from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what its unpickler raises, with advice that is none here
        raise InputError(
            f"{path} cannot be read as a PyTorch state dict of tensors alone ({type(error).__name__}); save "
            "model.state_dict(), not the model"
        ) from None
    for wrapper in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping):
        raise InputError(f"{path} holds a {type(state).__name__}; allowed: a state dict. Save model.state_dict()")
    tensors = {str(name): each for name, each in state.items() if isinstance(each, torch.Tensor)}

    def load(name: str) -> np.ndarray:
        tensor = tensors[name].detach()
        return (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).numpy()

    return Weights({name: tuple(each.shape) for name, each in tensors.items()}, load, str(path))


def _orbax(path: Path) -> Weights:
    import orbax.checkpoint as ocp

    from modejax.weights.trees import named_arrays

    folder = path / "default" if (path / "default").is_dir() else path
    try:
        with ocp.StandardCheckpointer() as reader:
            found = reader.metadata(folder.absolute()).item_metadata
            if found is None:
                raise ValueError("no metadata")
            tree = reader.restore(folder.absolute(), _abstract(found.tree))
    except (OSError, ValueError, KeyError, TypeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        inner = sorted(each.name for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
        files = sorted(each.name for each in path.iterdir() if each.suffix in (".safetensors", ".npz", ".pt", ".bin"))
        hint = f"; did you mean one of {', '.join([*files, *inner][:5])} in it?" if inner or files else ""
        raise InputError(f"{path} is not the folder of an Orbax checkpoint ({first}){hint}") from None
    if isinstance(tree, Mapping):  # the rest of a training state, as moments of an optimiser, is no network
        network = next((name for name in ("params", "model") if name in tree), None)
        if network is not None:
            tree = {name: tree[name] for name in (network, "batch_stats") if name in tree}
    arrays = named_arrays(tree)
    if all(name.endswith(".value") for name in arrays):  # the state of an NNX module: one dictionary a variable
        arrays = {name.removesuffix(".value"): each for name, each in arrays.items()}
    return Weights.of(arrays, str(path))


def _abstract(tree: Any) -> Any:
    """Return shapes and types to restore into, on the device at hand whatever machine wrote the checkpoint."""
    import jax

    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def each(leaf: Any) -> Any:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here) if hasattr(leaf, "shape") else leaf

    return jax.tree.map(each, tree)
