"""What a sweep is asked to do: one frozen, hashable record, from which the command line is made.

Nothing here imports JAX, so that `modejax --help` answers at once.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Literal

from modejax.errors import InputError, choices

__all__ = ["LAYER_MODES", "LayerName", "SweepConfig", "parse_bytes", "parse_options"]

LayerName = Literal["dense", "low_rank", "mode", "sparcs", "spectral", "svd", "tied_mode"]
Activation = Literal["elu", "erf", "gelu", "identity", "relu", "sigmoid", "tanh"]
OrderName = Literal["importance", "weight", "size", "random"]
CutName = Literal["keep-leading", "remove-leading"]
OptimiserName = Literal["adam", "adamax"]
MaskName = Literal["none", "dynamic", "frozen", "random", "static", "straight_through"]
PruneName = Literal["eigenvalue", "eigenvector", "incoming", "throughput", "random", "weights"]
Precision = Literal["float32", "tf32", "bfloat16", "float64"]

LAYER_MODES: dict[str, Literal["none", "optional", "required"]] = {
    "dense": "none",
    "low_rank": "required",
    "mode": "required",
    "sparcs": "none",
    "spectral": "none",
    "svd": "optional",
    "tied_mode": "required",
}
"""Whether a layer takes a number of modes."""

_MASKS = ("none", "dynamic", "frozen", "random", "static", "straight_through")
_PRUNE = ("eigenvalue", "eigenvector", "incoming", "throughput", "random", "weights")
_DEFAULT_PERCENTILES = (0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0)
_DEFAULT_MODES = (2, 5, 10, 20)
_DEFAULT_WIDTHS = (16, 32, 64)


def parse_options(pairs: tuple[str, ...]) -> dict[str, bool | int | float | str]:
    """Read layer options written as name=value.

    Args:
        pairs: the options, for example `("gauge=scaled",)`; true and false, integers and numbers are recognised.

    Returns:
        The options by name.

    Raises:
        InputError: if an option is not of the form name=value or is given twice.

    Example:
        >>> parse_options(("gauge=scaled", "sparsity=0.5", "use_bias=true"))
        {'gauge': 'scaled', 'sparsity': 0.5, 'use_bias': True}
    """
    options: dict[str, bool | int | float | str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals and text):
            raise InputError(f"a layer option is written name=value, for example gauge=scaled; got {pair!r}")
        if name in options:
            raise InputError(f"the layer option {name!r} is given twice")
        options[name] = _value(text)
    return options


def _value(text: str) -> bool | int | float | str:
    if text in ("true", "false"):
        return text == "true"
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


_UNITS = {"": 2**30, "mb": 10**6, "gb": 10**9, "tb": 10**12, "mib": 2**20, "gib": 2**30, "tib": 2**40}


def parse_bytes(amount: float | str) -> int:
    """Read an amount of memory.

    Args:
        amount: a number of GiB, or a number with one of the units MB, GB, TB (powers of 1000), MiB, GiB, TiB (of 1024).

    Returns:
        Bytes, 0 or more.

    Raises:
        InputError: if it is not such an amount.

    Example:
        >>> parse_bytes("2GB"), parse_bytes(0.5)
        (2000000000, 536870912)
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-z]*)\s*", str(amount).lower())
    if found is None or found[2] not in _UNITS:
        raise InputError(
            f"memory_limit must be 0 or more GiB, or an amount with a unit of MB, GB, TB, MiB, GiB or TiB such as 2GB; "
            f"got {amount!r}"
        )
    return int(float(found[1]) * _UNITS[found[2]])


@dataclasses.dataclass(frozen=True)
class SweepConfig:
    """A grid of networks and how to train them.

    The grid is the product of widths, modes, seeds, learning rates, weight decays and sparsities; all of it runs as one
    compiled program. Every field is checked when the record is made.

    Example:
        >>> SweepConfig(widths=(50, 100), modes=(5, 10), seeds=2).num_members
        8
    """

    dataset: str = "digits"
    """Data set: digits, gaussian_mixture, mnist, fashion_mnist, cifar10, or the path of a user's .npz."""
    data_dir: str | None = None
    """Folder of prepared data sets; without it MODEJAX_DATA_DIR, then ~/tensorflow_datasets."""
    layer: LayerName = "mode"
    """Parametrisation of the weight matrices."""
    layer_options: tuple[str, ...] = ()
    """Options of the layer as name=value: gauge=scaled (mode), start=released (low_rank), variant=svd (spectral)."""
    widths: tuple[int, ...] = _DEFAULT_WIDTHS
    """Units in each hidden layer. With depth 0 there are none: leave widths out."""
    modes: tuple[int, ...] | None = None
    """Modes in each map; by default 2 5 10 20, or full rank for svd. dense, sparcs and spectral take none."""
    seeds: int = 3
    """Number of seeds; they set the initial values."""
    first_seed: int = 0
    """The first of the seeds; the others follow it."""
    learning_rates: tuple[float, ...] = (0.005,)
    """Learning rates."""
    weight_decays: tuple[float, ...] = (1e-3,)
    """Decoupled weight decays, multiplied by the learning rate."""
    sparsities: tuple[float, ...] = ()
    """Percentages of the weights of each map that a mask takes away; an axis of the grid, with mask."""
    mask: MaskName = "none"
    """Sparse weights: dynamic, static, random, straight_through, or frozen (at their initial values instead of 0)."""
    mask_after: int = 0
    """Epochs before the mask sets in (dynamic and straight_through); after them the training goes on with it."""
    optimiser: OptimiserName = "adam"
    """adam (AdamW), or adamax as in the papers on spectral learning; of the baseline, too."""
    halve_every: int = 0
    """Epochs between halvings of the learning rate; 0: never."""
    depth: int = 2
    """Hidden layers; 0: one map from inputs to outputs."""
    epochs: int = 40
    """Passes over the training set."""
    batch_size: int = 100
    """Examples in a batch; all members see the same batches. A last incomplete batch is left out."""
    activation: Activation = "relu"
    """Activation of the hidden layers."""
    penalty: Literal["decoupled", "loss"] = "decoupled"
    """Where penalties of the layer act: on the parameters beside the step, or in the loss (as Keras has it)."""
    validation: float = 0.0
    """Share of the training set, drawn at random, that is held out to choose the best epoch by; 0: none."""
    patience: int = 0
    """Epochs without a better validation accuracy (loss for real values) after which a network stops; 0: never. It goes
    back to its best epoch, and so does a network that never stops, after the last one."""
    least_improvement: float = 0.0
    """What counts as a better validation accuracy: by more than this share of 1 (of a loss: by more than this)."""
    truncate_every: int = 0
    """Epochs between truncation and pruning curves; 0: only after the last epoch."""
    order: OrderName = "importance"
    """Score by which modes are ranked: importance (tau), weight (|Sigma|), size (gauge-free) or random."""
    cut: CutName = "keep-leading"
    """keep-leading keeps the modes ranked first; remove-leading takes those away first."""
    kept: tuple[int, ...] = ()
    """Numbers of modes kept in the truncation curves; by default every number from 0 on."""
    draws: int = 10
    """Random orders over which a random truncation or pruning curve is averaged."""
    prune: tuple[PruneName, ...] = ()
    """Pruning curves: hidden nodes by eigenvalue, eigenvector, incoming, throughput or random; or weights by size."""
    percentiles: tuple[float, ...] = _DEFAULT_PERCENTILES
    """Percentages of nodes or weights that the pruning curves take away, each from 0 to below 100."""
    precision: Precision = "float32"
    """float32 (full matmul precision), tf32, bfloat16 (compute; parameters float32), or float64."""
    baseline: Literal["dense", "none"] = "dense"
    """Also train dense networks of the same widths and seeds, in the same program."""
    baseline_bias: bool = False
    """Give the dense baseline biases."""
    baseline_learning_rate: float = 1e-3
    """Learning rate of the dense baseline (same halvings)."""
    baseline_weight_decay: float = 1e-4
    """Weight decay of the dense baseline."""
    shuffle_seed: int = 0
    """Seed of the order of the examples (shared by all members) and of a generated or split data set."""
    buckets: Literal["auto", "one", "each"] = "auto"
    """How members of different sizes share padded shapes: by predicted cost, all in one, or one a size."""
    devices: int = 0
    """Devices over which members are spread; 0: all that JAX sees."""
    memory_limit: float | str = 0.0
    """Memory that the sweep may take, in GiB or with a unit (2GB, 1500MiB); 0: what the machine has."""
    launches: int = 0
    """Calls of the executable over which the members are spread, one after another; 0: as few as memory allows."""

    def __post_init__(self) -> None:
        """Bring the fields to one form and check them."""
        put = object.__setattr__
        options = self.layer_options
        if isinstance(options, Mapping):
            options = tuple(f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in options.items())
        put(self, "layer_options", tuple(options))
        parse_options(self.layer_options)
        _one_of("layer", self.layer, tuple(LAYER_MODES))
        _one_of("activation", self.activation, ("elu", "erf", "gelu", "identity", "relu", "sigmoid", "tanh"))
        _one_of("order", self.order, ("importance", "weight", "size", "random"))
        _one_of("cut", self.cut, ("keep-leading", "remove-leading"))
        _one_of("precision", self.precision, ("float32", "tf32", "bfloat16", "float64"))
        _one_of("baseline", self.baseline, ("dense", "none"))
        _one_of("buckets", self.buckets, ("auto", "one", "each"))
        _one_of("optimiser", self.optimiser, ("adam", "adamax"))
        _one_of("mask", self.mask, _MASKS)
        _one_of("penalty", self.penalty, ("decoupled", "loss"))
        _integers("depth", (self.depth,), least=0)
        put(self, "widths", self._allowed_widths())
        takes = LAYER_MODES[self.layer]
        if self.modes is None:
            put(self, "modes", _DEFAULT_MODES if takes == "required" else (0,))
        elif takes == "none" and tuple(self.modes) != (0,):
            raise InputError(f"the layer {self.layer} has no modes, got modes={self.modes!r}; leave modes out")
        elif not (takes != "required" and tuple(self.modes) == (0,)):
            put(self, "modes", _integers("modes", self.modes))
        put(self, "kept", tuple(sorted(set(_integers("kept", self.kept, least=0)))) if self.kept else ())
        put(self, "learning_rates", _numbers("learning_rates", self.learning_rates, positive=True))
        put(self, "weight_decays", _numbers("weight_decays", self.weight_decays, positive=False))
        _numbers("baseline_learning_rate", (self.baseline_learning_rate,), positive=True)
        _numbers("baseline_weight_decay", (self.baseline_weight_decay,), positive=False)
        parse_bytes(self.memory_limit)
        for name in ("seeds", "epochs", "batch_size", "draws"):
            _integers(name, (getattr(self, name),))
        for name in (
            "first_seed",
            "halve_every",
            "truncate_every",
            "shuffle_seed",
            "devices",
            "launches",
            "mask_after",
            "patience",
        ):
            _integers(name, (getattr(self, name),), least=0)
        self._check_masks()
        self._check_pruning()
        self._check_validation()

    def _check_masks(self) -> None:
        object.__setattr__(self, "sparsities", _percentages("sparsities", self.sparsities))
        if bool(self.sparsities) != (self.mask != "none"):
            raise InputError(
                f"a mask and its sparsities go together, got mask={self.mask!r} and sparsities={self.sparsities}; "
                f"give a mask of {choices(_MASKS[1:])} and percentages, or neither"
            )
        if self.mask_after and self.mask not in ("dynamic", "straight_through"):
            raise InputError(
                f"mask_after {self.mask_after} needs a mask of the moment (dynamic, straight_through), "
                f"got mask={self.mask!r}"
            )
        if self.mask_after >= max(self.epochs, 1) and self.mask_after:
            raise InputError(
                f"mask_after {self.mask_after} leaves no epoch with the mask; allowed: 0 to {self.epochs - 1}"
            )
        if self.mask_after and self.validation:
            raise InputError(
                "the best epoch may be one before the mask sets in: mask_after and validation do not go together; "
                "leave one out"
            )
        if self.mask != "none" and self.layer in ("sparcs", "tied_mode"):
            raise InputError(f"the layer {self.layer} shares factors between its maps and takes no mask; leave it out")

    def _check_pruning(self) -> None:
        object.__setattr__(self, "prune", (self.prune,) if isinstance(self.prune, str) else tuple(self.prune))
        for name in self.prune:
            _one_of("prune", name, _PRUNE)
        if len(set(self.prune)) < len(self.prune):
            raise InputError(f"prune names a score twice: {list(self.prune)}")
        object.__setattr__(self, "percentiles", _percentages("percentiles", self.percentiles))
        if not self.percentiles:
            raise InputError("percentiles is empty; give at least one percentage from 0 to below 100")
        nodes = [name for name in self.prune if name != "weights"]
        if nodes and not self.depth:
            raise InputError(f"depth 0 has no hidden nodes that {nodes[0]} could rank; prune weights, or add a layer")
        if {"eigenvalue", "eigenvector"} & set(self.prune) and self.layer not in ("spectral",):
            raise InputError(
                f"eigenvalue and eigenvector rank the nodes of spectral layers, got layer={self.layer!r}; "
                "allowed for others: incoming, throughput, random, weights"
            )
        if self.prune and self.layer == "sparcs":
            raise InputError(
                "the maps of a sparcs network share eigenvalues: it has no pruning curves; leave prune out"
            )

    def _check_validation(self) -> None:
        share = self.validation
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
            raise InputError(f"validation must be a share from 0 to below 1, got {share!r}")
        _numbers("least_improvement", (self.least_improvement,), positive=False)
        if self.patience and not share:
            raise InputError(
                f"patience {self.patience} needs validation data; hold out a share of the training set, such as "
                "validation=0.2"
            )

    def _allowed_widths(self) -> tuple[int, ...]:
        """Return the widths; without hidden layers the axis has the one entry 0."""
        if self.depth:
            return _integers("widths", self.widths)
        if tuple(self.widths) not in ((0,), _DEFAULT_WIDTHS):
            raise InputError(f"depth 0 has no hidden layers, got widths={self.widths!r}; leave widths out")
        return (0,)

    @property
    def seed_numbers(self) -> range:
        """The seeds themselves."""
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def num_members(self) -> int:
        """The number of networks in the grid, without the baseline."""
        assert self.modes is not None
        rates = len(self.learning_rates) * len(self.weight_decays)
        return len(self.widths) * len(self.modes) * self.seeds * rates * max(1, len(self.sparsities))

    def to_json(self) -> str:
        """Return the record as JSON text, one field a line."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> SweepConfig:
        """Read the record back from JSON text.

        Args:
            text: what `to_json` wrote.

        Returns:
            The config.

        Raises:
            InputError: if the text is not such a record.

        Example:
            >>> config = SweepConfig(widths=(8,))
            >>> SweepConfig.from_json(config.to_json()) == config
            True
        """
        try:
            fields = json.loads(text)
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
            return cls(**values)
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(f"not the config of a sweep: {error}") from None


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"unknown {name} {value!r}; allowed: {choices(allowed)}")


def _integers(name: str, values: Any, least: int = 1) -> tuple[int, ...]:
    try:
        values = tuple(values)
    except TypeError:
        raise InputError(f"{name} must be a list of integers of at least {least}, got {values!r}") from None
    if not values:
        raise InputError(f"{name} is empty; give at least one integer of at least {least}")
    for value in values:
        if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
            raise InputError(f"{name} must be integers of at least {least}, got {value!r}")
    if len(set(values)) < len(values):
        raise InputError(f"{name} names a value twice: {list(values)}")
    return tuple(int(value) for value in values)


def _percentages(name: str, values: Any) -> tuple[float, ...]:
    try:
        values = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be percentages from 0 to below 100, got {values!r}") from None
    for value in values:
        if not 0 <= value < 100:
            raise InputError(f"{name} must be percentages from 0 to below 100, got {value!r}")
    if len(set(values)) < len(values):
        raise InputError(f"{name} names a value twice: {list(values)}")
    return values


def _numbers(name: str, values: Any, *, positive: bool) -> tuple[float, ...]:
    allowed = "greater than 0" if positive else "0 or more"
    try:
        values = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be numbers {allowed}, got {values!r}") from None
    if not values:
        raise InputError(f"{name} is empty; give at least one number {allowed}")
    for value in values:
        if not math.isfinite(value) or value < 0 or (positive and value == 0):
            raise InputError(f"{name} must be finite numbers {allowed}, got {value!r}")
    if len(set(values)) < len(values):
        raise InputError(f"{name} names a value twice: {list(values)}")
    return values
