"""A whole Flax model with its dense layers turned into modes or eigenvalues."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from flax import nnx

from modejax.errors import InputError
from modejax.layers import singular_modes
from modejax.layers.spectral import VariantName
from modejax.nnx.convert import FAMILIES, Family, canonical_kernel, from_dense

__all__ = ["Decomposed", "LayerReport", "decompose", "report_table"]

Filter = str | Sequence[str] | Callable[[str], bool] | None


class LayerReport(NamedTuple):
    """What became of one dense layer."""

    path: str  # such as blocks/0/query
    kind: str  # Linear or Conv
    shape: tuple[int, ...]  # of the kernel in Flax's layout
    rank: int
    modes: int  # kept; 0 for a spectral layer
    kept_energy: float  # share of sum s^2; 1 for a spectral layer
    dense_parameters: int  # bias included
    parameters: int  # trained ones, bias included
    dense_flops: int  # 2 a multiplication, for one example and one place of a convolution's output, without the bias
    flops: int  # likewise in mode space, or by the kernel for a spectral layer


class Decomposed(NamedTuple):
    """A decomposed model and what was done to it."""

    model: Any
    layers: tuple[LayerReport, ...]
    left: tuple[tuple[str, str], ...]  # path and reason of the chosen layers that stayed dense

    def table(self) -> str:
        """Return the report as text, a line a layer."""
        return report_table(self.layers, self.left)


def decompose(
    model: Any,
    modes: int | Mapping[str, int] | None = None,
    *,
    energy: float | None = None,
    family: Family = "mode",
    only: Filter = None,
    variant: VariantName = "two_set",
    eigenvectors: Literal["frozen", "trained"] = "frozen",
) -> Decomposed:
    """Replace every `nnx.Linear` and `nnx.Conv` of a model by modes or eigenvalues of its trained kernel.

    Args:
        model: any NNX module; it is not changed.
        modes: the number of modes of each layer, cut to the layer's rank where that is smaller; or a number for each
            path pattern, which must not pass the rank; None for `energy`, or for all.
        energy: keep for each layer the least number of modes with this share of sum s^2.
        family: see `from_dense`.
        only: which layers: a shell pattern of paths such as `blocks/*/query`, several, or `path -> bool`.
        variant: of spectral layers.
        eigenvectors: of spectral layers.

    Returns:
        A copy of the model with the layers replaced, a report, and the chosen layers that cannot be replaced
        (groups, masks, stacks, kernels of zeros) with the reason. A layer that is used at several places stays one.

    Raises:
        InputError: if nothing matches `only` or a pattern, `modes` is above the rank of every layer, or an option is
            not allowed.

    Example:
        >>> from modejax.nnx import decompose
        >>> model = nnx.Sequential(nnx.Linear(8, 4, rngs=nnx.Rngs(0)), nnx.relu, nnx.Linear(4, 2, rngs=nnx.Rngs(1)))
        >>> found = decompose(model, 3)
        >>> [(layer.path, layer.modes, layer.parameters) for layer in found.layers]
        [('layers/0', 3, 43), ('layers/2', 2, 16)]
    """
    if family not in FAMILIES:
        raise InputError(f"unknown family {family!r}; allowed: {', '.join(FAMILIES)}")
    if family == "spectral" and (modes is not None or energy is not None):
        raise InputError("modes and energy belong to the families mode and low_rank; a spectral layer has no modes")
    dense: dict[str, nnx.Linear | nnx.Conv] = {}

    def collect(path: tuple[Any, ...], node: Any) -> Any:
        if isinstance(node, nnx.Linear | nnx.Conv):
            dense["/".join(map(str, path))] = node
        return node

    # Both walks go the same way, so a layer that is used at several places has one path.
    nnx.recursive_map(collect, model)
    if not dense:
        raise InputError(f"this {type(model).__name__} has no nnx.Linear and no nnx.Conv to decompose")
    accept = _filter(only)
    chosen = {path: module for path, module in dense.items() if accept(path)}
    if not chosen:
        raise InputError(f"only={only!r} matches no layer; the paths are {', '.join(dense)}")
    wanted = _wanted(modes, chosen)
    reports, left, replaced = [], [], {}
    for path, module in chosen.items():
        try:
            if family == "low_rank" and isinstance(module, nnx.Conv):
                raise InputError("a two-factor layer has no window; use the family mode")
            kernel = canonical_kernel(module)
            found = singular_modes(kernel)
            found.count()
        except InputError as error:
            left.append((path, str(error)))
            continue
        count = wanted.get(path)
        if isinstance(modes, int) and count is not None:
            count = min(count, found.rank)
        options: dict[str, Any] = {"modes": count, "energy": energy, "found": found}
        if family == "spectral":
            options = {"variant": variant, "eigenvectors": eigenvectors}
        new = from_dense(module, family, **options)
        kept = getattr(new, "modes", 0)
        n_out, n_in, size = kernel.shape[0], math.prod(kernel.shape[1:]), kernel.size
        reports.append(
            LayerReport(
                path,
                type(module).__name__,
                tuple(module.kernel[...].shape),
                found.rank,
                kept,
                found.kept_energy(kept) if kept else 1.0,
                size + (0 if module.bias is None else n_out),
                new.num_parameters(),
                2 * size,
                2 * kept * (n_in + n_out) if kept else 2 * size,
            )
        )
        replaced[path] = new
    if not reports:
        raise InputError("no layer can be decomposed: " + "; ".join(f"{path}: {why}" for path, why in left))
    if isinstance(modes, int) and modes > max(report.rank for report in reports):
        raise InputError(
            f"modes={modes} is above the rank of every layer ({max(r.rank for r in reports)} at most); give fewer"
        )
    result = nnx.recursive_map(lambda path, node: replaced.get("/".join(map(str, path)), node), nnx.clone(model))
    return Decomposed(result, tuple(reports), tuple(left))


def report_table(layers: Sequence[LayerReport], left: Sequence[tuple[str, str]] = ()) -> str:
    """Return reports as aligned text: a line a layer, the sums, and the layers that stayed dense.

    Example:
        >>> print(report_table([LayerReport("head", "Linear", (8, 6), 6, 2, 0.9, 54, 36, 96, 56)]))
        layer  kernel  rank  modes  energy  parameters  dense  FLOPs  dense
        head   8x6        6      2  90.0 %          36     54     56     96
        all                                         36     54     56     96
    """
    rows: list[tuple[str, ...]] = [
        ("layer", "kernel", "rank", "modes", "energy", "parameters", "dense", "FLOPs", "dense")
    ]
    for layer in layers:
        sizes = "x".join(map(str, layer.shape))
        numbers = (layer.parameters, layer.dense_parameters, layer.flops, layer.dense_flops)
        energy = f"{100 * layer.kept_energy:.1f} %"
        rows.append((layer.path, sizes, str(layer.rank), str(layer.modes or "-"), energy, *(f"{n:,}" for n in numbers)))
    names = ("parameters", "dense_parameters", "flops", "dense_flops")
    sums = [sum(getattr(layer, name) for layer in layers) for name in names]
    rows.append(("all", "", "", "", "", *(f"{n:,}" for n in sums)))
    width = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(n) if i < 2 else cell.rjust(n) for i, (cell, n) in enumerate(zip(row, width, strict=True)))
        for row in rows
    ]
    return "\n".join([*lines, *(f"left dense: {path} ({why})" for path, why in left)])


def _filter(only: Filter) -> Callable[[str], bool]:
    if only is None:
        return lambda path: True
    if callable(only):
        return only
    patterns = [only] if isinstance(only, str) else list(only)
    return lambda path: any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def _wanted(modes: int | Mapping[str, int] | None, paths: Collection[str]) -> dict[str, int]:
    """Return the number of modes of each path that has one."""
    if modes is None:
        return {}
    if not isinstance(modes, Mapping):
        if isinstance(modes, bool) or not isinstance(modes, int) or modes < 1:
            raise InputError(f"modes must be an integer of at least 1, or one for each path, got {modes!r}")
        return dict.fromkeys(paths, modes)
    wanted = {}
    for pattern, count in modes.items():
        found = fnmatch.filter(paths, pattern)
        if not found:
            raise InputError(f"modes names {pattern!r}, which matches no layer; the paths are {', '.join(paths)}")
        wanted |= dict.fromkeys(found, count)
    return wanted
