"""Arrays in a file that are no weights of its network: moments of optimisers, copies, masks, codes, tables, counters.

A name alone decides only if it is unambiguous. Otherwise there must be further evidence: an array of the same shape for
a copy, a scale beside codes, a kernel beside a bias.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from modejax.weights.arrays import Weights

__all__ = ["BIASES", "NORM_PARTS", "Derived", "sort_out", "split"]

_OPTIMISER = {
    *("optimizer", "optimizer_state", "optimizer_state_dict", "optimizer_states", "optimizers", "opt_state", "optim"),
    *(
        "exp_avg",
        "exp_avg_sq",
        "max_exp_avg_sq",
        "momentum_buffer",
        "square_avg",
        "acc_delta",
        "grad_avg",
        "opt_states",
    ),
    *("optimizer_weights", "lr_scheduler", "lr_schedulers", "scheduler"),
}
_OPTIMISER_IF_TWIN = {"opt", "mu", "nu", "trace", "adam", "momentum", "velocity", "m", "v", "accumulator", "moments"}
_COPY = {
    *("ema", "ema_model", "model_ema", "ema_state_dict", "ema_params", "params_ema", "ema_network", "shadow"),
    *("shadow_params", "averaged", "averaged_params", "swa", "swa_model", "target", "target_network", "target_net"),
    *("target_params", "teacher", "momentum_encoder", "key_encoder", "ema_variables", "avg_model", "model_avg", "slow"),
}
_CODES = {
    *(
        "scales",
        "scale",
        "weight_scale",
        "weight_scale_inv",
        "zero_point",
        "zeros",
        "qzeros",
        "weight_zero_point",
        "scb",
    ),
    *("g_idx", "absmax", "quant_map", "quant_state", "weight_quant_state", "w_scale", "kernel_scale", "weight_scb"),
}
_CODED = {"qweight", "weight_packed", "q_weight", "weight_q", "weight_int8", "quantized_weight", "int_weight", "codes"}
BIASES = re.compile(r"(^|.*[_.])(bias|biases|b|intercepts?)_?\d*$|^b_(q|k|v|o|in|out|u)$", re.IGNORECASE)
NORM_PARTS = {
    "scale": ("weight", "scale", "gamma", "g"),
    "bias": ("bias", "beta", "offset"),
    "mean": ("running_mean", "mean", "moving_mean"),
    "var": ("running_var", "var", "moving_variance", "variance", "moving_var"),
}
_TABLE = re.compile(r"(embed|embd|wte|wpe|lookup|codebook|vocab|position|token)", re.IGNORECASE)
_OUTPUT = re.compile(r"(embed_?out|unembed|lm_head|out_embed|output_embed|decoder_embed)", re.IGNORECASE)
_NARROW = ("int8", "uint8", "int4", "uint4", "float8", "float4")


class Derived(NamedTuple):
    """A kernel that a file stores as several arrays."""

    name: str  # of the module
    how: str  # weight_norm, spectral_norm, mask, lora, lora_merged, scaled
    parts: tuple[str, ...]  # names of the arrays, in the order that `weights.derived` takes


def split(key: str) -> tuple[str, str]:
    """Return the module and the last part of a name.

    Example:
        >>> split("a.b.weight")
        ('a.b', 'weight')
    """
    name, _, last = key.rpartition(".")
    return name, last


def sort_out(weights: Weights, chosen: Collection[str]) -> tuple[list[str], dict[str, str], list[Derived]]:
    """Separate the weights of a network from other arrays of a file.

    Args:
        weights: the arrays.
        chosen: names of arrays or modules that the user asked for by name; they are no tables and no copies.

    Returns:
        Names that may be kernels, biases or norms; names of all else with the reason; kernels that stand as several
        arrays.
    """
    left = dict(weights.skipped)
    shapes = weights.shapes
    rest = []
    for key in shapes:
        fact = weights.facts.get(key)
        why = ""
        if key not in chosen and split(key)[0] not in chosen:
            if fact is not None and fact.kind in ("table", "other"):
                why = fact.why or ("a table" if fact.kind == "table" else "no weight of a map")
            why = why or _beside(key, shapes) or ("" if fact else _table(key, shapes, weights.dtypes))
        if why:
            left[key] = why
        else:
            rest.append(key)
    derived, used = _derived({key: shapes[key] for key in rest}, left)
    rest = [key for key in rest if key not in used]
    rest = [key for key in rest if not _codes(key, rest, weights, left, derived, chosen)]
    rest = [key for key in rest if key not in left]
    return rest, left, derived


def _beside(key: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return why an array belongs to the training and not to the network."""
    parts = key.lower().split(".")
    if any(part in _OPTIMISER for part in parts):
        return "state of an optimiser"
    for place, part in enumerate(parts[:-1]):
        if part in _OPTIMISER_IF_TWIN and _twin(key, parts, place, shapes):
            return "state of an optimiser: another array has its name and shape"
        if part in _COPY and _twin(key, parts, place, shapes):
            return f"a copy of the network ({part}); take it by --only"
    last = parts[-1]
    if last.endswith("_ema") and key[: -len("_ema")] in shapes:
        return "a moving average of another array"
    if last == "mask" or last.endswith(("_mask", "masked_bias")):
        return "a mask"
    return ""


def _twin(key: str, parts: list[str], place: int, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Return whether an array outside this part of the file has the same end of name and the same shape."""
    end = "".join(parts[place + 1 :])
    for other, shape in shapes.items():
        low = other.lower()
        if other == key or shape != shapes[key] or not low.replace(".", "").endswith(end):
            continue
        if not any(part in _COPY or part in _OPTIMISER_IF_TWIN or part in _OPTIMISER for part in low.split(".")[:-1]):
            return True
    return False


def _table(key: str, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str]) -> str:
    """Return why an array is no map but numbers that are looked up or added."""
    name, last = split(key)
    shape = shapes[key]
    if len(shape) < 2:
        return ""
    if dtypes.get(key, "").startswith(("int", "uint", "bool")) and not re.search("weight|kernel", last):
        return "integers that are no weights (an index or a mask)"
    module = name.rsplit(".", 1)[-1]
    if last in ("embedding", "embeddings", "E") or last in ("W_E", "W_pos"):
        return "a table of embeddings"
    biased = f"{name}.bias" in shapes
    if len(shape) == 2 and not biased and last in ("weight", "w", "weights"):
        if _OUTPUT.search(module) and module not in ("lm_head", "unembed"):
            return f"a table of embeddings or an output map: name and shape fit both; take it by --only {name}"
        if _TABLE.search(module) and not _OUTPUT.search(module):
            return "a table of embeddings (no bias, and its name says so)"
    if BIASES.match(last) and len(shape) >= 3:
        return "a buffer: a bias has one axis"
    if len(shape) >= 3 and shape[0] == 1 and _TABLE.search(last + "_" if "weight" not in last else ""):
        return "a table of positions or a token"
    if re.search(
        r"(cls_token|class_token|pos_embed|position_bias|relative_position|rel_pos|inv_freq|query_tokens)", last
    ):
        return "a table of positions or a token"
    return ""


def _derived(shapes: Mapping[str, tuple[int, ...]], left: dict[str, str]) -> tuple[list[Derived], set[str]]:
    """Return the kernels that stand as several arrays, and the arrays that they take."""
    found: list[Derived] = []
    used: set[str] = set()

    def take(name: str, how: str, *parts: str) -> None:
        found.append(Derived(name, how, parts))
        used.update(parts)
        for part in parts:
            left.pop(part, None)

    for key, shape in shapes.items():
        name, last = split(key)
        if last in ("weight_v", "kernel_v", "v") or key.endswith("parametrizations.weight.original1"):
            other = key[:-1] + "g" if last != "original1" else key[:-1] + "0"
            if other in shapes and len(shapes[other]) in (0, len(shape), 1) and len(shape) > 1:
                module = name.removesuffix(".parametrizations.weight")
                take(module, "weight_norm", other, key)
        elif last == "weight_orig" and len(shape) > 1:
            mask = f"{name}.weight_mask"
            if mask in left or mask in shapes:
                take(name, "mask", key, mask)
                left[mask] = "a pruning mask"
            elif f"{name}.weight_u" in shapes:
                vector = f"{name}.weight_v" if f"{name}.weight_v" in shapes else f"{name}.weight_u"
                take(name, "spectral_norm", key, f"{name}.weight_u", vector)
    for key, shape in shapes.items():
        pair = _lora(key, shapes)
        if pair is None or len(shape) < 2:
            continue
        name, down, up, flipped = pair
        alpha = next(
            (f"{name}.{each}" for each in ("alpha", "lora_alpha", "lora.alpha") if f"{name}.{each}" in shapes), ""
        )
        base = next(
            (each for each in (f"{name}.weight", f"{name}.kernel") if each in shapes and (flipped or alpha)), ""
        )
        parts = (down, up, alpha or "-", "flax" if flipped else "torch")
        take(name if base else f"{name}.lora", "lora_merged" if base else "lora", *((base,) if base else ()), *parts)
    used -= {"-", "torch", "flax", ""}
    return found, used


def _lora(key: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, str, str, bool] | None:
    """Return module, both factors and whether they are (in, rank) and (rank, out), for the first of a pair."""
    for one, two, flipped in (
        ("lora_A", "lora_B", False), ("lora_down", "lora_up", False), ("lora.down", "lora.up", False),
        ("lora_a", "lora_b", True),
    ):  # fmt: skip
        head, marker, tail = key.partition(one)
        other = head + two + tail
        if marker and (not head or head.endswith((".", "_"))) and other in shapes and tail in (
            "", ".weight", ".default.weight", ".kernel"
        ):  # fmt: skip
            a, b = shapes[key], shapes[other]
            if len(a) < 2 or len(b) < 2 or (a[1] != b[0] if flipped else a[0] != b[1]):
                return None
            name = head.rstrip("._").removesuffix(".lora")
            return name, key, other, flipped
    return None


def _codes(
    key: str,
    rest: list[str],
    weights: Weights,
    left: dict[str, str],
    derived: list[Derived],
    chosen: Collection[str],
) -> bool:
    """Sort out quantised codes; where the convention is known they become a derived kernel."""
    name, last = split(key)
    shape, kind = weights.shapes[key], weights.dtypes.get(key, "")
    beside = {each.lower(): f"{name}.{each}" if name else each for each in
              (split(other)[1] for other in rest if split(other)[0] == name) if each.lower() in _CODES}  # fmt: skip
    if last.lower() in _CODED:
        left[key] = "quantised codes; save dequantised weights"
        return True
    if len(shape) < 2 or key in chosen or not kind.startswith(_NARROW) or not beside:
        return False
    scale = next((beside[each] for each in ("weight_scale", "kernel_scale", "w_scale") if each in beside), None)
    zero = any("zero" in each for each in beside)
    fits = scale is not None and weights.shapes[scale] in ((), (1,), (shape[0],), (shape[0], *(1,) * (len(shape) - 1)))
    if scale is not None and fits and not zero and not kind.startswith("uint"):
        derived.append(Derived(name, "scaled", (key, scale)))
        left[scale] = "scales of quantised codes"
    else:
        left[key] = f"quantised codes (with {', '.join(sorted(beside))}); save dequantised weights"
    for other in beside.values():
        if other != scale or not fits:
            left[other] = "scales or zero points of quantised codes"
    return True
