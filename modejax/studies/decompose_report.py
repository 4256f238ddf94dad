"""The report behind `modejax decompose`: a weight file in; modes, dense weights, a table and figures out."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from modejax._files import replaced
from modejax.data import Dataset, load_dataset
from modejax.errors import InputError
from modejax.layers import LayerParams, SingularModes, mode_from_modes, singular_modes
from modejax.networks import Params
from modejax.nnx.models import LayerReport, layer_report, report_table
from modejax.plots.decompose import plot_kept_accuracy, plot_kept_energy
from modejax.runs import Output, output
from modejax.studies.chains import KeptAccuracy, chain, fine_tune, kept_accuracy, test_accuracy
from modejax.studies.common import save_drawing
from modejax.studies.decompose_config import DecomposeConfig
from modejax.studies.files import Wrote, check_apart, write_text
from modejax.svr.neurons import as_real
from modejax.weights import Inventory, Kernel, Weights, inventory, read_bias, read_kernel, read_weights
from modejax.weights import write_kernel as put_kernel
from modejax.weights.derived import reason_to_leave
from modejax.weights.files import metadata_of
from modejax.weights.kernels import left_lines, natural, parse_kinds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["decompose_file"]


class _Decomposition(NamedTuple):
    kernel: Kernel
    found: SingularModes
    modes: int
    bias: np.ndarray | None


def decompose_file(config: DecomposeConfig) -> Iterator[str]:
    """Decompose every kernel of a weight file and write what came out; the file itself is never written to.

    Kernels of zeros have no modes and stay as they are.

    Args:
        config: the file and the options.

    Yields:
        What was found and written, a line each.

    Raises:
        InputError: the file, the folder or an option is not allowed, kernels have one name, none can be decomposed,
            `modes` is above the rank of every kernel, training diverged, or the accuracy cannot be measured because the
            arrays are no chain that fits the data set.
    """
    _check(config)
    check_apart(config.source, config.out)
    with output(config.out, "decompose", overwrite=config.overwrite, stem=config.source.stem) as out:
        yield from _decompose_to(out, config)


def _decompose_to(out: Output, config: DecomposeConfig) -> Iterator[str]:
    source, folder = config.source, out.path
    weights = read_weights(source)
    kinds = parse_kinds(config.kinds)
    holds = inventory(weights, config.layout, kinds=kinds, only=config.only, exclude=config.exclude)
    if config.explain:
        yield from holds.lines()
        yield ""
    done, left = _decompose(weights, holds, config)
    # A chain that does not fit the data is refused before anything is written.
    line, data = _chain_and_data(weights, holds, done, config)
    reports = [_report(each, weights) for each in done]
    yield report_table(reports, left)
    yield from left_lines(holds.left)
    if weights.skipped:
        yield f"note: what is no array of numbers ({len(weights.skipped)}) is not in the dense file"
    larger = [each.path for each in reports if each.parameters > each.dense_parameters]
    if larger:
        shown = f"{', '.join(larger[:4])}{' ...' if larger[4:] else ''}"
        yield f"note: more parameters as modes than as kernels: {shown}; fewer modes save some"

    params: list[LayerParams] = [mode_from_modes(each.found, each.modes) for each in done]
    measured: dict[str, float] = {}
    curves = None
    if data is not None:
        found, biases = [each.found for each in line], [each.bias for each in line]
        network, start = chain(found, biases, [each.rank for each in found], config.activation)
        curves = kept_accuracy(network, start, data)
        measured["as given"] = test_accuracy(network, start, data)
        network, cut = chain(found, biases, [each.modes for each in line], config.activation)
        measured["cut"] = test_accuracy(network, cut, data)
        if config.epochs:
            options = {"learning_rate": config.learning_rate, "batch": config.batch_size, "seed": config.seed}
            tuned = fine_tune(network, cut, data, config.epochs, **options)
            if not all(np.isfinite(np.asarray(each)).all() for each in jax.tree.leaves(tuned)):
                raise InputError(
                    f"training at the rate {config.learning_rate:g} led to numbers that are not finite; nothing was "
                    "written. Give a smaller --learning-rate"
                )
            name = f"cut, then {config.epochs} epoch{'s' * (config.epochs > 1)} in mode space"
            measured[name] = test_accuracy(network, tuned, data)
            done, params = _tuned(tuned, line, done)
        for name, value in measured.items():
            yield f"test accuracy {name}: {100 * value:.2f} %"

    written = _write_arrays(source, folder, weights, done, params)
    _write_tables(folder, config, reports, measured, curves)
    size = (6.4, 4.2)
    save_drawing(folder / "figures" / "energy.png", lambda fig: plot_kept_energy(_energies(done), fig.subplots()), size)
    if curves is not None:
        path = folder / "figures" / "accuracy.png"
        save_drawing(path, lambda fig: _draw_accuracy(fig, curves, line, measured), size)
    folder = out.finish()
    yield Wrote(folder, f"config.json, table.csv, {', '.join(written)} and figures/*.png")
    yield f"next: read the modes with numpy.load('{folder}/modes.npz'), or put {written[-1]} where {source.name} was"


def _check(config: DecomposeConfig) -> None:
    if (config.modes is None) == (config.energy is None):
        raise InputError(f"give --modes P or --energy E, one of them; got {config.modes} and {config.energy}")
    if config.modes is not None and config.modes < 1:
        raise InputError(f"modes must be an integer of at least 1, got {config.modes}")
    if config.epochs < 0 or config.batch_size < 1 or not 0 < config.learning_rate < float("inf"):
        raise InputError(
            "epochs must be 0 or more, batch size 1 or more and the learning rate positive, got "
            f"{config.epochs}, {config.batch_size} and {config.learning_rate}"
        )
    if config.epochs and config.dataset is None:
        raise InputError(f"--epochs {config.epochs} trains on data; give --dataset, too")


def _decompose(
    weights: Weights, holds: Inventory, config: DecomposeConfig
) -> tuple[list[_Decomposition], list[tuple[str, str]]]:
    """Return the decomposed kernels, and the names of those that stay as they are with the reason."""
    _check_names(holds.kernels)
    done, left = [], []
    for each in holds.kernels:
        why = reason_to_leave(each.derived) if each.derived is not None else ""
        if not why and each.groups > 1:
            why = f"a convolution in {each.groups} groups has one kernel a group and no common modes"
        if not why and each.derived is None and weights.dtypes[each.key].startswith(("int", "uint", "bool")):
            why = "integers, in which modes cannot be written; save it as float32"
        if why:
            left.append((each.name, why))
            continue
        try:
            found = singular_modes(as_real(read_kernel(weights, each), each.name))
            if found.rank == 0:
                left.append((each.name, "the kernel is 0 and has no modes"))
                continue
            wanted = None if config.modes is None else min(config.modes, found.rank)
            count = found.count(wanted, config.energy)
        except InputError as error:
            left.append((each.name, str(error)))
            continue
        bias = read_bias(weights, each)
        done.append(_Decomposition(each, found, count, None if bias is None else as_real(bias, f"bias of {each.name}")))
    if not done:
        reasons = "; ".join(f"{name}: {why}" for name, why in left[:4])
        raise InputError(f"no kernel of {weights.source} can be decomposed: {reasons}")
    most = max(each.found.rank for each in done)
    if config.modes is not None and config.modes > most:
        raise InputError(f"modes={config.modes} is above the rank of every kernel ({most} at most); give fewer")
    return done, left


def _check_names(kernels: Sequence[Kernel]) -> None:
    # The arrays of modes.npz are named after the kernels.
    names = Counter(each.name for each in kernels)
    same = [each.key for each in kernels if names[each.name] > 1 or not each.name]
    if same:
        raise InputError(f"the kernels {', '.join(same)} have one name or none; rename the arrays")


def _report(done: _Decomposition, weights: Weights) -> LayerReport:
    kernel = done.kernel
    plain = kernel.derived is None and kernel.index is None
    stored = weights.shapes[kernel.key] if plain else done.found.shape
    return layer_report(kernel.name, stored, done.found, done.modes, kernel.bias is not None)


def _chain_and_data(
    weights: Weights, holds: Inventory, done: list[_Decomposition], config: DecomposeConfig
) -> tuple[list[_Decomposition], Dataset | None]:
    """Return the maps in the order in which they are applied, and the data; refuse what is no perceptron."""
    if config.dataset is None:
        return [], None
    advice = "leave --dataset out to decompose the kernels alone"
    spatial = [each.kernel.key for each in done if len(each.found.shape) > 2]
    if spatial:
        raise InputError(
            f"accuracy needs a chain of matrices, because the file does not say how a network is put together; "
            f"{spatial[0]} is a convolution. Use modejax.nnx.decompose on the Flax model, or {advice}"
        )
    used = {each.kernel.key for each in done} | {each.kernel.bias for each in done}
    aside = ("state of an optimiser", "a copy", "a key", "a moving average")
    others = [norm.name for norm in holds.norms]
    others += [name for name in weights if name not in used and not holds.left.get(name, "").startswith(aside)]
    types = sorted({weights.dtypes[each.kernel.key] for each in done})
    if len(types) > 1:
        raise InputError(
            f"accuracy needs kernels of one type, got {', '.join(types)}; convert them to one, or {advice}"
        )
    if others:
        raise InputError(f"accuracy needs a chain of matrices and biases alone, but there is {others[0]}; {advice}")
    data = load_dataset(config.dataset, data_dir=config.data_dir)
    if data.targets == "values":
        raise InputError(f"{data.name} has real values as labels, on which there is no accuracy; {advice}")
    for line in (done, sorted(done, key=lambda each: natural(each.kernel.key))):
        sizes = [line[0].found.shape[1], *(each.found.shape[0] for each in line)]
        fits = all(each.found.shape[1] == n for each, n in zip(line, sizes, strict=False))
        if fits and (sizes[0], sizes[-1]) == (data.num_features, data.num_outputs):
            return line, data
    shapes = ", ".join(f"{each.kernel.key} {each.found.shape[1]} -> {each.found.shape[0]}" for each in done)
    raise InputError(
        f"the kernels are no chain from the {data.num_features} features of {data.name} to its {data.num_outputs} "
        f"outputs: {shapes}; {advice}, or give the data of this network"
    )


def _tuned(
    params: Params, line: list[_Decomposition], done: list[_Decomposition]
) -> tuple[list[_Decomposition], list[LayerParams]]:
    """Return the maps with their trained biases, and the trained factors, in the order of the file."""
    by_key = {each.kernel.key: part for each, part in zip(line, params, strict=True)}
    parts = [by_key[each.kernel.key] for each in done]
    biases = [None if each.bias is None else np.asarray(part.bias) for each, part in zip(done, parts, strict=True)]
    return (
        [each._replace(bias=bias) for each, bias in zip(done, biases, strict=True)],
        [getattr(part, "map", part) for part in parts],
    )


def _write_arrays(
    source: Path,
    folder: Path,
    weights: Weights,
    done: list[_Decomposition],
    params: list[LayerParams],
) -> list[str]:
    """Write the modes as `modes.npz` and the dense weights in the format of the file, and return the names.

    The dense weights keep the names of the file; those of PyTorch and Orbax go into a safetensors file.
    """
    dense = {name: weights[name] for name in weights}
    taken = {key for each in done for key in (each.kernel.derived.parts if each.kernel.derived else (each.kernel.key,))}
    factors = {name: each for name, each in dense.items() if name not in taken}
    for each, part in zip(done, params, strict=True):
        kernel = each.kernel
        xi_out, sigma, xi_in = (np.asarray(array, np.float64) for array in (part.xi_out, part.sigma, part.xi_in))
        matrix = (xi_out * sigma) @ xi_in.reshape(each.modes, -1)
        if not np.isfinite(matrix).all():
            raise InputError(f"{kernel.name}: its modes are not finite; nothing was written")
        put_kernel(dense, kernel, matrix.reshape(each.found.shape), each.bias)
        factors |= {f"{kernel.name}.{name}": np.asarray(getattr(part, name)) for name in ("xi_out", "sigma", "xi_in")}
        if kernel.bias is not None:
            factors[kernel.bias] = dense[kernel.bias]
    _write_npz(folder / "modes.npz", factors)
    dense = {weights.stored[name]: each for name, each in dense.items()}
    if source.suffix == ".npz":
        _write_npz(folder / "dense.npz", dense)
        return ["modes.npz", "dense.npz"]
    from safetensors.numpy import save_file

    metadata = dict(metadata_of(source) or {}) if source.suffix == ".safetensors" else None
    with replaced(folder / "dense.safetensors") as part:
        # Unlike np.ascontiguousarray, this leaves numbers without an axis as they are.
        save_file({name: np.require(each, requirements="C") for name, each in dense.items()}, part, metadata or None)
    return ["modes.npz", "dense.safetensors"]


def _write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    # An .npz file does not know bfloat16 and float8.
    plain = {name: each.astype(np.float32) if each.dtype.kind == "V" else each for name, each in arrays.items()}
    with replaced(path) as part, part.open("wb") as file:
        np.savez(file, **plain)  # pyright: ignore[reportArgumentType]


def _write_tables(
    folder: Path,
    config: DecomposeConfig,
    reports: list[LayerReport],
    measured: dict[str, float],
    curves: KeptAccuracy | None,
) -> None:
    with replaced(folder / "table.csv") as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(LayerReport._fields)
        writer.writerows([*row[:2], "x".join(map(str, row.shape)), *row[3:]] for row in reports)
    if curves is not None:
        with replaced(folder / "accuracy.csv") as part, part.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["kept", "all", *(f"map_{i + 1}" for i in range(len(curves.layer)))])
            writer.writerows(zip(curves.kept, curves.together, *curves.layer, strict=True))
    content = {**dataclasses.asdict(config), "accuracy": measured}
    write_text(folder / "config.json", json.dumps(content, indent=2, default=str) + "\n")


def _energies(done: list[_Decomposition]) -> dict[str, np.ndarray]:
    """Return for each kernel the share of energy in 1, 2, ... modes."""
    squares = {each.kernel.name: each.found.s[: each.found.rank] ** 2 for each in done}
    return {name: np.cumsum(values) / np.sum(values) for name, values in squares.items()}


def _draw_accuracy(
    figure: Figure, curves: KeptAccuracy, line: list[_Decomposition], measured: dict[str, float]
) -> None:
    layers = {each.kernel.name: values for each, values in zip(line, curves.layer, strict=True)}
    levels = {name: value for name, value in measured.items() if name != "cut"}
    plot_kept_accuracy(curves.kept, curves.together, layers, levels, figure.subplots())
