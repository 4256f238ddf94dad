"""Each published figure as a function: config to result to figure and table, with the numbers measured.

One file a study; a study calls the library and the plots, writes its folder, and holds no numerics of its own. A study
is listed in `STUDIES` and is called as `study(out, quick=..., seeds=...) -> folder`. `runner` claims that folder and
puts it in place. What they share is in `common`, `files` and `spread`; `mdl_files`, `mdl_runs`, `mdl_growth` and
`interp_files` add what only those of modes and of interpolation need, `flax_models` and `chains` what those of Flax
models and `modejax decompose` do, `svr_runs`, `svr_planted` and `convnet` what those of singular value representations
need. `interp_report`, `decompose_report` and `svr_report` are behind the commands of their names.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from modejax.errors import InputError, choices

__all__ = ["STUDIES", "find_study"]

STUDIES = {
    "flax-decompose": "flax_decompose:run",
    "flax-mnist": "flax_mnist:run",
    "interp-classes": "interp_classes:run",
    "interp-conditioning": "interp_conditioning:run",
    "interp-depth": "interp_depth:run",
    "interp-encoder": "interp_encoder:run",
    "interp-modes": "interp_modes:run",
    "mdl-examples": "mdl_examples:run",
    "mdl-least-modes": "mdl_least_modes:run",
    "mdl-mixture": "mdl_mixture:run",
    "mdl-modes": "mdl_modes:run",
    "mdl-online": "online:mdl_online",
    "mdl-powerlaw": "mdl_powerlaw:run",
    "mdl-removal": "mdl_removal:run",
    "mdl-subspaces": "mdl_subspaces:run",
    "rate-transfer": "rate_transfer:run",
    "seed-spread": "seed_spread:run",
    "spectral-perceptron": "spectral_perceptron:run",
    "spectral-pruning": "spectral_pruning:run",
    "spectral-sparse": "spectral_sparse:run",
    "spectral-student-teacher": "spectral_student:run",
    "spectral-width": "spectral_width:run",
    "svr-batchnorm": "svr_batchnorm:run",
    "svr-dominant": "svr_dominant:run",
    "svr-null": "svr_null:run",
    "svr-pretrained": "svr_pretrained:run",
    "svr-training": "svr_training:run",
}
"""Name to module (in this package) and function; imported when asked for."""


def find_study(name: str) -> Callable[..., Path]:
    """Return the study of this name.

    Args:
        name: a key of `STUDIES`.

    Returns:
        The function; it takes the folder to write, `quick` and `seeds`, and returns the folder.

    Raises:
        InputError: the name is unknown.

    Example:
        >>> find_study("mdl-online").__name__
        'mdl_online'
    """
    if name not in STUDIES:
        raise InputError(f"study {name!r} is not known; allowed: {choices(STUDIES)}")
    module, function = STUDIES[name].split(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), function)
