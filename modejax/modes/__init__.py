"""Analysis of the modes of trained networks: their importance, the number needed, and the spaces that they span.

Read `importance` first (measures of a mode and their ranks), then `fits` (power laws of ranked curves), `least` (the
least number of modes at each width), `growth` (how it depends on the width), `rates` (the best learning rate against
the width) and `subspaces` (dimensions, overlaps, disentangling); `bootstrap` makes the intervals. Everything takes
arrays, parameters or the labelled result of a sweep, and works on NumPy in float64. Training, sweeps and figures are
elsewhere; accuracy with modes removed is measured by `modejax.runs.removal`.
"""

from typing import TYPE_CHECKING

from modejax._lazy import lazy

if TYPE_CHECKING:
    from modejax.modes.bootstrap import interval as interval
    from modejax.modes.bootstrap import resamples as resamples
    from modejax.modes.fits import compare_fits as compare_fits
    from modejax.modes.fits import power_law as power_law
    from modejax.modes.fits import segmented_fit as segmented_fit
    from modejax.modes.growth import growth_fits as growth_fits
    from modejax.modes.importance import mode_measures as mode_measures
    from modejax.modes.importance import rank_correlations as rank_correlations
    from modejax.modes.importance import ranked_curves as ranked_curves
    from modejax.modes.least import DEFINITIONS as DEFINITIONS
    from modejax.modes.least import least_modes as least_modes
    from modejax.modes.rates import BestRates as BestRates
    from modejax.modes.rates import best_rates as best_rates
    from modejax.modes.subspaces import alignment as alignment
    from modejax.modes.subspaces import class_overlap as class_overlap
    from modejax.modes.subspaces import hidden_activity as hidden_activity
    from modejax.modes.subspaces import participation_dimension as participation_dimension
    from modejax.modes.subspaces import principal_angles as principal_angles
    from modejax.modes.subspaces import second_moment_overlap as second_moment_overlap
    from modejax.modes.subspaces import subspace_overlap as subspace_overlap

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "bootstrap": ["interval", "resamples"],
        "importance": ["mode_measures", "rank_correlations", "ranked_curves"],
        "growth": ["growth_fits"],
        "least": ["DEFINITIONS", "least_modes"],
        "rates": ["BestRates", "best_rates"],
        "fits": ["compare_fits", "power_law", "segmented_fit"],
        "subspaces": [
            "alignment",
            "class_overlap",
            "hidden_activity",
            "participation_dimension",
            "principal_angles",
            "second_moment_overlap",
            "subspace_overlap",
        ],
    },
)
