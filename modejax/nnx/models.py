"""A whole Flax model with its dense layers turned into modes or eigenvalues."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from flax import nnx

from modejax.errors import InputError
from modejax.layers import SingularModes, singular_modes
from modejax.layers.spectral import VariantName
from modejax.nnx.convert import FAMILIES, Family, canonical_kernel, from_dense

__all__ = ["Decomposed", "LayerReport", "decompose", "layer_report", "report_table"]

Filter = str | Sequence[str] | Callable[[str], bool] | None


class LayerReport(NamedTuple):
    """The result of the conversion of one dense layer."""

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
    """A decomposed model, with a report of its layers."""

    model: Any
    layers: tuple[LayerReport, ...]
    left: tuple[tuple[str, str], ...]  # path and reason of the chosen layers that stayed dense

    def table(self) -> str:
        """Return the report as text, with one line per layer."""
        return report_table(self.layers, self.left)

    def __repr__(self) -> str:
        """Return a summary in one line; the arrays are in `model`.

        Example:
            >>> decompose(nnx.Sequential(nnx.Linear(8, 4, rngs=nnx.Rngs(0))), 2)
            <Decomposed Sequential: 1 layer replaced, 30 parameters of them instead of 36>
        """
        count, stayed = len(self.layers), f", {len(self.left)} left dense" if self.left else ""
        own, dense = (sum(getattr(each, name) for each in self.layers) for name in ("parameters", "dense_parameters"))
        numbers = f"{own:,} parameters of them instead of {dense:,}"
        name = type(self.model).__name__
        return f"<Decomposed {name}: {count} layer{'s' * (count != 1)} replaced{stayed}, {numbers}>"

    def __str__(self) -> str:
        """Return the summary and the table."""
        return f"{self!r}\n{self.table()}"


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
        modes: the number of modes of each layer, reduced to the layer's rank if that is smaller; or a mapping from path
            patterns to numbers, which must not exceed the rank; None to use `energy`, or to keep all.
        energy: keep for each layer the least number of modes with this share of sum s^2.
        family: see `from_dense`.
        only: the layers to convert: one or several shell patterns of paths such as `blocks/*/query`, or a function
            `path -> bool`.
        variant: variant of spectral layers.
        eigenvectors: `trained` to also train phi of spectral layers.

    Returns:
        A copy of the model with the layers replaced, a report, and the chosen layers that cannot be replaced (groups,
        masks, stacks, kernels of zeros, parameters shared with another layer, other modules with a kernel) with the
        reason. A layer that is used in several places stays a single layer.

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
    dense: dict[str, Any] = {}
    holders: dict[int, list[str]] = {}  # of each variable

    def collect(path: tuple[Any, ...], node: Any) -> Any:
        if isinstance(node, nnx.Module):
            name = "/".join(map(str, path))
            if isinstance(getattr(node, "kernel", None), nnx.Variable):
                dense[name] = node
            for each in vars(node).values():
                if isinstance(each, nnx.Variable):
                    holders.setdefault(id(each), []).append(name)
        return node

    # Both walks have the same order, so a layer that is used in several places has one path.
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
            _check_untied(path, module, holders)
            found = singular_modes(canonical_kernel(module))
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
        shape, biased = tuple(module.kernel[...].shape), module.bias is not None
        reports.append(layer_report(path, shape, found, getattr(new, "modes", 0), biased, new.num_parameters()))
        replaced[path] = new
    if not reports:
        raise InputError("no layer can be decomposed: " + "; ".join(f"{path}: {why}" for path, why in left))
    if isinstance(modes, int) and modes > max(report.rank for report in reports):
        raise InputError(
            f"modes={modes} is above the rank of every layer ({max(r.rank for r in reports)} at most); give fewer"
        )
    result = nnx.recursive_map(lambda path, node: replaced.get("/".join(map(str, path)), node), nnx.clone(model))
    return Decomposed(result, tuple(reports), tuple(left))


def layer_report(
    path: str, shape: tuple[int, ...], found: SingularModes, modes: int, biased: bool, parameters: int | None = None
) -> LayerReport:
    """Return the report of one layer.

    Args:
        path: path of the layer.
        shape: shape of the kernel as its network stores it.
        found: the decomposed kernel.
        modes: the number of modes kept; 0 for a layer without modes, which represents the kernel exactly.
        biased: whether there is a bias.
        parameters: number of trained parameters, bias included; None for that of `modes` modes of three factors.

    Returns:
        The report.

    Example:
        >>> layer_report("head", (2, 3), singular_modes([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]), 1, True).kept_energy
        0.8
    """
    n_out, n_in = found.shape[0], math.prod(found.shape[1:])
    size, bias = n_out * n_in, n_out if biased else 0
    return LayerReport(
        path,
        "Linear" if len(found.shape) == 2 else "Conv",
        shape,
        found.rank,
        modes,
        found.kept_energy(modes) if modes else 1.0,
        size + bias,
        modes * (n_in + n_out + 1) + bias if parameters is None else parameters,
        2 * size,
        2 * modes * (n_in + n_out) if modes else 2 * size,
    )


def report_table(layers: Sequence[LayerReport], left: Sequence[tuple[str, str]] = ()) -> str:
    """Return reports as aligned text: one line per layer, the sums, and the layers that stayed dense.

    FLOPs have no sum if there is a convolution: its FLOPs are for one position, and a kernel does not tell the number
    of positions.

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
    sums = [f"{sum(getattr(layer, name) for layer in layers):,}" for name in names]
    if any(layer.kind == "Conv" for layer in layers):
        sums[2:] = "-", "-"
    rows.append(("all", "", "", "", "", *sums))
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


def _check_untied(path: str, module: nnx.Module, holders: Mapping[int, Sequence[str]]) -> None:
    """Refuse a layer that shares its kernel or bias with another module, since a conversion would untie them."""
    for name, each in vars(module).items():
        others = [other for other in holders.get(id(each), ()) if other != path]
        if others:
            raise InputError(f"it shares its {name} with {', '.join(others)}, and modes would untie them")


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
