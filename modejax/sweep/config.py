"""The config of a sweep: one frozen, hashable record, from which the options of the command line are made.

Nothing here imports JAX, so that `modejax --help` answers at once.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, Literal

from modejax.errors import InputError, choices
from modejax.names import BATCHES, CUTS, NETWORKS, ORDERS, PRECISIONS, PRUNE_SCORES
from modejax.sweep.arm import Arm
from modejax.sweep.parsing import (
    SEEDS,
    a_flag,
    a_path,
    an_integer,
    are_given,
    integers,
    listed,
    numbers,
    one_of,
    parse_bytes,
    parse_value,
    percentages,
)

__all__ = ["SweepConfig"]

OrderName = Literal["importance", "weight", "size", "random"]
CutName = Literal["keep-leading", "remove-leading"]
PruneName = Literal["eigenvalue", "eigenvector", "incoming", "throughput", "random", "weights"]
Precision = Literal["float32", "tf32", "bfloat16", "float64"]

_DEFAULT_PERCENTILES = (0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0)
_ARM_FIELDS = tuple(field.name for field in dataclasses.fields(Arm))
_OF_LAYER = ("layer_options", "mask", "sparsities", "mask_after", "modes", "name")
"""Fields that a further arm with another layer does not inherit from the first arm."""
_OF_OPTIMISER = ("optimiser_options", "momentum")
"""Fields that a further arm with another optimiser does not inherit from the first arm."""


@dataclasses.dataclass(frozen=True)
class SweepConfig(Arm):
    """A grid of networks and how to train them.

    The fields of `Arm` describe the first arm. Its grid is the product of widths, modes, seeds, learning rates, weight
    decays and the further axes; all arms run in one compiled program. Every field is checked when the record is made.

    Example:
        >>> SweepConfig(widths=(50, 100), modes=(5, 10), seeds=2).num_members
        8
        >>> config = SweepConfig(arms={"wide": {"layer": "dense", "widths": (500,)}}, baseline="none")
        >>> [(arm.name, arm.layer, arm.widths) for arm in config.all_arms]
        [('mode', 'mode', (16, 32, 64)), ('wide', 'dense', (500,))]
    """

    arms: tuple[str, ...] = ()
    """Further arms, each written NAME field=value,value ...; fields that are not given are those of the first arm. For
    example: dense layer=dense learning_rates=0.001,0.003."""
    dataset: str = "digits"
    """Data set: digits, gaussian_mixture, mnist, fashion_mnist, cifar10, or the path of a user's .npz."""
    data_dir: str | None = None
    """Folder of prepared data sets; by default the one that MODEJAX_DATA_DIR names, else ~/tensorflow_datasets."""
    seeds: int = 3
    """Number of seeds: networks of each setting that differ in their initial values."""
    first_seed: int = 0
    """The first seed; the others are the integers after it."""
    batches: Literal["shared", "per_seed"] = "shared"
    """Order of the examples: shared by all members (fast), or another order for each seed (per_seed), so that the
    spread over seeds includes the effect of the order."""
    epochs: int = 40
    """Passes over the training set."""
    batch_size: int = 100
    """Examples in a batch. A last incomplete batch is left out."""
    validation: float = 0.0
    """Share of the training set, drawn at random, that is held out as validation data to choose the best epoch; 0:
    none."""
    patience: int = 0
    """Epochs without a better validation accuracy (loss for real values) after which a network stops; 0: never. With
    validation data every network ends with the parameters of its best epoch, stopped or not."""
    least_improvement: float = 0.0
    """A validation accuracy (a share of 1) or loss is better only if it improves by more than this."""
    truncate_every: int = 0
    """Take truncation and pruning curves every this many epochs; 0: only after the last epoch."""
    order: OrderName = "importance"
    """Score by which modes are ranked: importance (tau), weight (|Sigma|), size (gauge-free) or random."""
    cut: CutName = "keep-leading"
    """keep-leading keeps the modes ranked first; remove-leading removes them first."""
    kept: tuple[int, ...] = ()
    """Numbers of modes kept in the truncation curves; by default every number from 0 on."""
    draws: int = 10
    """Random orders over which a random truncation or pruning curve is averaged."""
    prune: tuple[PruneName, ...] = ()
    """Pruning curves: hidden nodes by eigenvalue, eigenvector, incoming, throughput or random; or weights by size."""
    percentiles: tuple[float, ...] = _DEFAULT_PERCENTILES
    """Percentages of nodes or weights that the pruning curves remove, each from 0 to below 100."""
    prune_by_layer: bool = False
    """Also take pruning curves with the same percentage of nodes removed from each hidden layer; without it nodes are
    ranked over all hidden layers together."""
    precision: Precision = "float32"
    """float32 (full matmul precision), tf32, bfloat16 (compute; parameters float32), or float64."""
    baseline: Literal["dense", "none"] = "dense"
    """dense: also train dense networks of the same widths and seeds, as an arm named baseline."""
    baseline_bias: bool = False
    """Give the dense baseline biases."""
    baseline_learning_rates: tuple[float, ...] = (1e-3,)
    """Learning rates of the dense baseline; its schedule is that of the first arm."""
    baseline_weight_decays: tuple[float, ...] = (1e-4,)
    """Weight decays of the dense baseline."""
    shuffle_seed: int = 0
    """Seed of the order of the examples, of the held-out share and of a generated or split data set."""
    buckets: Literal["auto", "one", "each"] = "auto"
    """How networks of different sizes share padded shapes: by predicted cost (auto), one shape for all, or one for each
    size."""
    devices: int = 0
    """Number of devices over which the networks are spread; 0: all that JAX sees."""
    memory_limit: float | str = 0.0
    """Memory that the sweep may use, in GiB or with a unit (2GB, 1500MiB); 0: all that is available."""
    launches: int = 0
    """Number of parts in which the networks are trained, one part after another; 0: as few as memory allows."""

    def __post_init__(self) -> None:
        """Convert the fields to their canonical form and check them."""
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        super().__post_init__()
        put("dataset", a_path("dataset", self.dataset))
        put("data_dir", None if self.data_dir is None else a_path("data_dir", self.data_dir))
        put("baseline_bias", a_flag("baseline_bias", self.baseline_bias))
        for name, allowed in (
            ("batches", BATCHES),
            ("order", ORDERS),
            ("cut", CUTS),
            ("precision", PRECISIONS),
            ("baseline", ("dense", "none")),
            ("buckets", ("auto", "one", "each")),
        ):
            one_of(name, getattr(self, name), allowed)
        put("kept", tuple(sorted(integers("kept", self.kept, 0))) if are_given(self.kept) else ())
        put("baseline_learning_rates", numbers("baseline_learning_rates", self.baseline_learning_rates, positive=True))
        put("baseline_weight_decays", numbers("baseline_weight_decays", self.baseline_weight_decays, positive=False))
        parse_bytes(self.memory_limit)
        put("memory_limit", self.memory_limit if isinstance(self.memory_limit, str) else float(self.memory_limit))
        for name in ("seeds", "epochs", "batch_size", "draws"):
            put(name, an_integer(name, getattr(self, name)))
        for name in ("truncate_every", "devices", "launches", "patience"):
            put(name, an_integer(name, getattr(self, name), 0))
        put("shuffle_seed", an_integer("shuffle_seed", self.shuffle_seed, 0, SEEDS))
        put("first_seed", an_integer("first_seed", self.first_seed, 0, SEEDS - self.seeds + 1))
        put("arms", _arm_texts(self.arms))
        for arm in self.all_arms:
            self._check_arm(arm)
        names = [arm.name for arm in self.all_arms]
        if len(set(names)) < len(names):
            raise InputError(f"two arms have the name {max(names, key=names.count)!r}; give one of them another")
        self._check_pruning()
        self._check_validation()

    def _check_arm(self, arm: Arm) -> None:
        if arm.mask_after >= self.epochs and arm.mask_after:
            raise InputError(
                f"mask_after {arm.mask_after} leaves no epoch with the mask; allowed: 0 to {self.epochs - 1}"
            )
        if arm.mask_after and self.validation:
            raise InputError(
                "the best epoch may be one before the mask sets in: mask_after and validation do not go together; "
                "leave one out"
            )

    def _check_pruning(self) -> None:
        object.__setattr__(
            self, "prune", (self.prune,) if isinstance(self.prune, str) else listed("prune", self.prune, "scores")
        )
        for name in self.prune:
            one_of("prune", name, PRUNE_SCORES)
        if len(set(self.prune)) < len(self.prune):
            raise InputError(f"prune names a score twice: {list(self.prune)}")
        object.__setattr__(self, "percentiles", percentages("percentiles", self.percentiles))
        if not self.percentiles:
            raise InputError("percentiles is empty; give at least one percentage from 0 to below 100")
        nodes = [name for name in self.prune if name != "weights"]
        if nodes and not self.depth:
            raise InputError(f"depth 0 has no hidden nodes that {nodes[0]} could rank; prune weights, or add a layer")
        if {"eigenvalue", "eigenvector"} & set(self.prune) and self.layer not in ("spectral", "custom"):
            raise InputError(
                f"eigenvalue and eigenvector rank the nodes of spectral layers, got layer={self.layer!r}; "
                "allowed for others: incoming, throughput, random, weights"
            )
        object.__setattr__(self, "prune_by_layer", a_flag("prune_by_layer", self.prune_by_layer))
        if self.prune_by_layer and not nodes:
            raise InputError(
                "prune_by_layer is about curves of nodes, and prune names no score of nodes; name one, such as incoming"
            )
        if self.prune and self.network == "sparcs":
            raise InputError(
                "the maps of a sparcs network share eigenvalues: it has no pruning curves; leave prune out"
            )

    def _check_validation(self) -> None:
        share = self.validation
        if isinstance(share, bool | str) or not hasattr(share, "__float__") or not 0 <= float(share) < 1:
            raise InputError(f"validation must be a share from 0 to below 1, got {share!r}")
        object.__setattr__(self, "validation", float(share))
        least = numbers("least_improvement", (self.least_improvement,), positive=False)[0]
        object.__setattr__(self, "least_improvement", least)
        if self.patience and not share:
            raise InputError(
                f"patience {self.patience} needs validation data; hold out a share of the training set, such as "
                "validation=0.2"
            )

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds, as integers."""
        return tuple(range(self.first_seed, self.first_seed + self.seeds))

    @property
    def first_arm(self) -> Arm:
        """The arm that the fields of this record describe, with its name filled in."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in _ARM_FIELDS}
        fields["name"] = self.label
        return Arm(**fields)

    @property
    def all_arms(self) -> tuple[Arm, ...]:
        """The first arm, the further arms, and the dense baseline if there is one."""
        arms = [self.first_arm, *(self._further(text) for text in self.arms)]
        if self.baseline == "dense":
            arms.append(self._baseline())
        return tuple(arms)

    def _further(self, text: str) -> Arm:
        name, *pairs = text.split() or [""]
        if not name or "=" in name:
            raise InputError(f"an arm is written NAME field=value ..., for example dense layer=dense; got {text!r}")
        given: dict[str, str] = {}
        for pair in pairs:
            field, equals, value = pair.partition("=")
            if not equals:
                raise InputError(f"the arm {name!r}: a field is written field=value, got {pair!r}")
            if field in given:
                raise InputError(f"the arm {name!r} names the field {field!r} twice")
            given[field] = value
        kinds = {field.name: str(field.type) for field in dataclasses.fields(Arm)}
        changes: dict[str, Any] = {"name": name}
        for field, value in given.items():
            if field not in kinds or field == "name":
                raise InputError(
                    f"the arm {name!r} names the field {field!r}; allowed: {choices(set(kinds) - {'name'})}"
                )
            changes[field] = _read(value, kinds[field])
        values = {field: getattr(self, field) for field in _ARM_FIELDS}
        if {"layer", "network"} & set(given):
            fresh = Arm(layer="dense")
            for field in (*_OF_LAYER, *(("network_options",) if "network" in given else ())):
                values[field] = getattr(fresh, field)
            new = {"layer": changes.get("layer", self.layer), "network": changes.get("network", self.network)}
            takes = Arm(**new, name="x", depth=max(self.depth, 1)).takes_modes
            values["modes"] = self.modes if takes == "required" and self.modes != (0,) else None
        if "optimiser" in given:
            values |= {field: getattr(Arm(), field) for field in _OF_OPTIMISER}
        if given.get("depth") == "0" and "widths" not in given:
            values["widths"] = (0,)
        if "schedule" in given and "halve_every" not in given:
            values["halve_every"] = 0
        try:
            return Arm(**(values | changes))
        except InputError as error:
            raise InputError(f"the arm {name!r}: {error}") from None

    def _baseline(self) -> Arm:
        fields: dict[str, Any] = {field: getattr(self, field) for field in _ARM_FIELDS}
        takes_layers = self.network != "custom" and NETWORKS[self.network].layers
        fields |= {
            "name": "baseline",
            "network": self.network if takes_layers else "mlp",
            "network_options": self.network_options if takes_layers else (),
            "layer": "dense",
            "layer_options": (),
            "modes": None,
            "bias": self.baseline_bias,
            "learning_rates": self.baseline_learning_rates,
            "weight_decays": self.baseline_weight_decays,
            "mask": "none",
            "sparsities": (),
            "mask_after": 0,
            "axes": (),
        }
        return Arm(**fields)

    @property
    def num_members(self) -> int:
        """The number of networks of the first arm."""
        return math.prod(len(values) for _, values in self.grid_axes(self.seed_numbers))

    @property
    def num_networks(self) -> int:
        """The number of networks of all arms."""
        grids = (arm.grid_axes(self.seed_numbers) for arm in self.all_arms)
        return sum(math.prod(len(values) for _, values in grid) for grid in grids)

    def to_json(self) -> str:
        """Return the record as JSON text, one field a line."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> SweepConfig:
        """Read the record back from JSON text.

        Args:
            text: JSON text, as `to_json` writes it.

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
        except (ValueError, RecursionError) as error:
            raise InputError(f"not the config of a sweep: {error}") from None
        return cls.from_fields(fields)

    @classmethod
    def from_fields(cls, fields: Any) -> SweepConfig:
        """Make the record from a mapping of fields, as read from a JSON or TOML file; lists are accepted for tuples.

        Args:
            fields: values by the name of the field; missing fields have their defaults.

        Returns:
            The config.

        Raises:
            InputError: if a field is unknown, or a value is not allowed.

        Example:
            >>> SweepConfig.from_fields({"widths": [8], "arms": {"wide": {"widths": [99]}}}).arms
            ('wide widths=99',)
        """
        if not isinstance(fields, Mapping):
            raise InputError(f"not the config of a sweep: a table of fields is needed, got {type(fields).__name__}")
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(str(name) for name in fields if name not in known)
        if unknown:
            raise InputError(f"not the config of a sweep: it has no field {unknown[0]!r}; allowed: {choices(known)}")
        try:
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
            return cls(**values)
        except (AttributeError, TypeError) as error:
            raise InputError(f"not the config of a sweep: {error}") from None


def _read(value: str, kind: str) -> Any:
    """Parse the text of a field of a further arm."""
    if kind.startswith("tuple[str"):
        return tuple(value.split(",")) if value else ()
    if kind.startswith("tuple"):
        return tuple(parse_value(each) for each in value.split(",")) if value else ()
    return value if kind == "str" else parse_value(value)


def _arm_texts(arms: Any) -> tuple[str, ...]:
    """Return further arms as texts `NAME field=value ...`, from such texts or from a mapping of mappings."""
    if isinstance(arms, str):
        raise InputError(f"arms must be a list of texts or a table of tables, got the text {arms!r}; write ({arms!r},)")
    if not isinstance(arms, Mapping):
        try:
            return tuple(" ".join(str(text).split()) for text in arms)
        except TypeError:
            raise InputError(f"arms must be a list of texts or a table of tables, got {arms!r}") from None
    texts = []
    for name, fields in arms.items():
        if not isinstance(fields, Mapping):
            raise InputError(f"the arm {name!r} must be a table of fields, got {fields!r}")
        words = [str(name)]
        for field, value in fields.items():
            if isinstance(value, Mapping):
                value = [f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in value.items()]
            value = value.tolist() if hasattr(value, "tolist") else value  # of NumPy  # pyright: ignore
            entries = value if isinstance(value, list | tuple | range) else (value,)
            parts = [str(each).lower() if isinstance(each, bool) else str(each) for each in entries]
            words.append(f"{field}={','.join(parts)}")
        texts.append(" ".join(words))
    return tuple(texts)
