"""How ReLU networks interpolate: matrices of activations, their ranks and patterns, constructions, and reports.

Read in this order: `points` (checks, equal points), `maps` (networks from matrices and back), `matrices` (ranks, rho),
`patterns` (bounds from zeros alone), `classes` (normal form, eight classes, counts); then constructions: `hinge`,
`builders`, `classifiers`, `encoders`; `fits` (over-parameterised), `depth` (sparse-matrix principle), `modes` (layers
of few modes), `train` (a grid of fits in one program), `data` (points and targets) and `report` (one record per layer
of a trained network), with `redundancy`, `stability` and `checkpoints` (several times of one training).

After the abstract of C. Huang, arXiv 2208.07498; its theorems were not available. Formulas are reconstructions of this
project, or standard where a source is named, and were checked numerically; do not cite them as the paper's. Sweeps over
data sets, studies and figures are elsewhere. Constructions and ranks are float64.
"""

from typing import TYPE_CHECKING

from modejax._lazy import lazy

if TYPE_CHECKING:
    from modejax.interpolation.builders import LiftedDense as LiftedDense
    from modejax.interpolation.builders import LiftedParams as LiftedParams
    from modejax.interpolation.builders import build_affine_blocks as build_affine_blocks
    from modejax.interpolation.builders import build_diagonal as build_diagonal
    from modejax.interpolation.builders import build_target as build_target
    from modejax.interpolation.builders import matched_filter_share as matched_filter_share
    from modejax.interpolation.builders import smp_layer as smp_layer
    from modejax.interpolation.checkpoints import CHECKPOINT_FIELDS as CHECKPOINT_FIELDS
    from modejax.interpolation.checkpoints import checkpoint_reports as checkpoint_reports
    from modejax.interpolation.classes import NAMES as NAMES
    from modejax.interpolation.classes import NormalForm as NormalForm
    from modejax.interpolation.classes import SolutionClass as SolutionClass
    from modejax.interpolation.classes import class_from as class_from
    from modejax.interpolation.classes import classify as classify
    from modejax.interpolation.classes import count_orderings as count_orderings
    from modejax.interpolation.classes import count_supports as count_supports
    from modejax.interpolation.classes import find_orderings as find_orderings
    from modejax.interpolation.classes import find_supports as find_supports
    from modejax.interpolation.classes import kept_units as kept_units
    from modejax.interpolation.classes import normal_form as normal_form
    from modejax.interpolation.classifiers import Slabs as Slabs
    from modejax.interpolation.classifiers import build_modes_pair as build_modes_pair
    from modejax.interpolation.classifiers import direct_classifier as direct_classifier
    from modejax.interpolation.classifiers import find_slabs as find_slabs
    from modejax.interpolation.classifiers import polytope_classifier as polytope_classifier
    from modejax.interpolation.classifiers import slab_classifier as slab_classifier
    from modejax.interpolation.data import data_report as data_report
    from modejax.interpolation.depth import BlockFit as BlockFit
    from modejax.interpolation.depth import activity_profile as activity_profile
    from modejax.interpolation.depth import diagonal_blocks as diagonal_blocks
    from modejax.interpolation.depth import regular_limit as regular_limit
    from modejax.interpolation.depth import regular_share as regular_share
    from modejax.interpolation.depth import solve_blocks as solve_blocks
    from modejax.interpolation.depth import support_budget as support_budget
    from modejax.interpolation.depth import tent_network as tent_network
    from modejax.interpolation.encoders import CodeMeasures as CodeMeasures
    from modejax.interpolation.encoders import build_autoencoder as build_autoencoder
    from modejax.interpolation.encoders import build_decoder as build_decoder
    from modejax.interpolation.encoders import build_encoder as build_encoder
    from modejax.interpolation.encoders import code_measures as code_measures
    from modejax.interpolation.encoders import off_block_energy as off_block_energy
    from modejax.interpolation.encoders import target_code as target_code
    from modejax.interpolation.fits import Fit as Fit
    from modejax.interpolation.fits import generic_jacobian_rank as generic_jacobian_rank
    from modejax.interpolation.fits import gradient_descent_limit as gradient_descent_limit
    from modejax.interpolation.fits import jacobian_rank as jacobian_rank
    from modejax.interpolation.fits import least_norm as least_norm
    from modejax.interpolation.fits import multi_output_fit as multi_output_fit
    from modejax.interpolation.fits import null_basis as null_basis
    from modejax.interpolation.fits import outputs_per_unit as outputs_per_unit
    from modejax.interpolation.hinge import Line as Line
    from modejax.interpolation.hinge import build_hinge as build_hinge
    from modejax.interpolation.hinge import build_two_sided_hinge as build_two_sided_hinge
    from modejax.interpolation.hinge import divided_differences as divided_differences
    from modejax.interpolation.hinge import find_line as find_line
    from modejax.interpolation.hinge import hinge_maps as hinge_maps
    from modejax.interpolation.hinge import hinge_matrix as hinge_matrix
    from modejax.interpolation.hinge import random_directions as random_directions
    from modejax.interpolation.hinge import two_sided_maps as two_sided_maps
    from modejax.interpolation.maps import Built as Built
    from modejax.interpolation.maps import Units as Units
    from modejax.interpolation.maps import affine_maps as affine_maps
    from modejax.interpolation.maps import hidden_units as hidden_units
    from modejax.interpolation.maps import outputs as outputs
    from modejax.interpolation.maps import relu_network as relu_network
    from modejax.interpolation.matrices import CUTS as CUTS
    from modejax.interpolation.matrices import Spectrum as Spectrum
    from modejax.interpolation.matrices import act_mask as act_mask
    from modejax.interpolation.matrices import activity_tolerance as activity_tolerance
    from modejax.interpolation.matrices import column_scaled as column_scaled
    from modejax.interpolation.matrices import interp_matrix as interp_matrix
    from modejax.interpolation.matrices import nrank as nrank
    from modejax.interpolation.matrices import rho as rho
    from modejax.interpolation.matrices import spectrum as spectrum
    from modejax.interpolation.modes import Truncation as Truncation
    from modejax.interpolation.modes import antipodal_rank_bound as antipodal_rank_bound
    from modejax.interpolation.modes import cut_singular_modes as cut_singular_modes
    from modejax.interpolation.modes import one_mode_rank as one_mode_rank
    from modejax.interpolation.modes import random_features as random_features
    from modejax.interpolation.modes import truncation_profile as truncation_profile
    from modejax.interpolation.patterns import Blocks as Blocks
    from modejax.interpolation.patterns import Peeling as Peeling
    from modejax.interpolation.patterns import block_order as block_order
    from modejax.interpolation.patterns import dm_blocks as dm_blocks
    from modejax.interpolation.patterns import linear_regions as linear_regions
    from modejax.interpolation.patterns import peel as peel
    from modejax.interpolation.patterns import sprank as sprank
    from modejax.interpolation.patterns import tri_rank as tri_rank
    from modejax.interpolation.points import Points as Points
    from modejax.interpolation.points import check_labels as check_labels
    from modejax.interpolation.points import check_points as check_points
    from modejax.interpolation.points import check_targets as check_targets
    from modejax.interpolation.points import duplicate_floor as duplicate_floor
    from modejax.interpolation.points import merge_points as merge_points
    from modejax.interpolation.points import one_hot as one_hot
    from modejax.interpolation.redundancy import Redundancy as Redundancy
    from modejax.interpolation.redundancy import find_redundancy as find_redundancy
    from modejax.interpolation.report import FIELDS as FIELDS
    from modejax.interpolation.report import Loss as Loss
    from modejax.interpolation.report import layer_report as layer_report
    from modejax.interpolation.report import layer_reports as layer_reports
    from modejax.interpolation.report import layer_shift as layer_shift
    from modejax.interpolation.report import loss_split as loss_split
    from modejax.interpolation.stability import Stability as Stability
    from modejax.interpolation.stability import stability_bound as stability_bound
    from modejax.interpolation.train import FitMember as FitMember
    from modejax.interpolation.train import Fits as Fits
    from modejax.interpolation.train import fit_grid as fit_grid
    from modejax.interpolation.train import sign_classes as sign_classes

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "builders": [
            "LiftedDense",
            "LiftedParams",
            "build_affine_blocks",
            "build_diagonal",
            "build_target",
            "matched_filter_share",
            "smp_layer",
        ],
        "checkpoints": ["CHECKPOINT_FIELDS", "checkpoint_reports"],
        "classes": [
            "NAMES",
            "NormalForm",
            "SolutionClass",
            "class_from",
            "classify",
            "count_orderings",
            "count_supports",
            "find_orderings",
            "find_supports",
            "kept_units",
            "normal_form",
        ],
        "classifiers": [
            "Slabs",
            "build_modes_pair",
            "direct_classifier",
            "find_slabs",
            "polytope_classifier",
            "slab_classifier",
        ],
        "data": ["data_report"],
        "depth": [
            "BlockFit",
            "activity_profile",
            "diagonal_blocks",
            "regular_limit",
            "regular_share",
            "solve_blocks",
            "support_budget",
            "tent_network",
        ],
        "encoders": [
            "CodeMeasures",
            "build_autoencoder",
            "build_decoder",
            "build_encoder",
            "code_measures",
            "off_block_energy",
            "target_code",
        ],
        "hinge": [
            "Line",
            "build_hinge",
            "build_two_sided_hinge",
            "divided_differences",
            "find_line",
            "hinge_maps",
            "hinge_matrix",
            "random_directions",
            "two_sided_maps",
        ],
        "fits": [
            "Fit",
            "generic_jacobian_rank",
            "gradient_descent_limit",
            "jacobian_rank",
            "least_norm",
            "multi_output_fit",
            "null_basis",
            "outputs_per_unit",
        ],
        "maps": ["Built", "Units", "affine_maps", "hidden_units", "outputs", "relu_network"],
        "matrices": [
            "CUTS",
            "Spectrum",
            "act_mask",
            "activity_tolerance",
            "column_scaled",
            "interp_matrix",
            "nrank",
            "rho",
            "spectrum",
        ],
        "modes": [
            "Truncation",
            "antipodal_rank_bound",
            "cut_singular_modes",
            "one_mode_rank",
            "random_features",
            "truncation_profile",
        ],
        "patterns": ["Blocks", "Peeling", "block_order", "dm_blocks", "linear_regions", "peel", "sprank", "tri_rank"],
        "points": [
            "Points",
            "check_labels",
            "check_points",
            "check_targets",
            "duplicate_floor",
            "merge_points",
            "one_hot",
        ],
        "redundancy": ["Redundancy", "find_redundancy"],
        "report": ["FIELDS", "Loss", "layer_report", "layer_reports", "layer_shift", "loss_split"],
        "stability": ["Stability", "stability_bound"],
        "train": ["FitMember", "Fits", "fit_grid", "sign_classes"],
    },
)
