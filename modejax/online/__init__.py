"""Online learning of modes: theory and simulation from the same start, in one program.

Read in this order: `units` (hidden units and their Gaussian integrals; `erf`, `relu`, `angle` below it), `problem`
(teacher, student, overlaps, draws), `equations` (right-hand sides), `solve` (diffrax and Euler), `simulate` (online
SGD), `stages` and `forecast` (rates, plateaus, limits), `sweep` (many members in one program), `label` (its result as
labelled arrays), `teacher` (a teacher of the user's own). Only `modejax.errors`
is imported from the rest of the library: nothing here knows of networks, data sets or sweeps over widths.

The theory needs float64: call inside `with jax.enable_x64(True):`; `run_members` does so itself.
"""

from modejax.online.equations import KSpace as KSpace
from modejax.online.equations import PatternFlow as PatternFlow
from modejax.online.equations import Trained as Trained
from modejax.online.equations import drift as drift
from modejax.online.equations import error_from as error_from
from modejax.online.equations import generalisation_error as generalisation_error
from modejax.online.equations import k_space as k_space
from modejax.online.equations import noise as noise
from modejax.online.equations import p_space as p_space
from modejax.online.equations import pattern_flow as pattern_flow
from modejax.online.equations import trained_modes as trained_modes
from modejax.online.forecast import RateLimit as RateLimit
from modejax.online.forecast import learning_rate_limit as learning_rate_limit
from modejax.online.forecast import linear_rate_limit as linear_rate_limit
from modejax.online.forecast import predicted_plateaus as predicted_plateaus
from modejax.online.label import labelled as labelled
from modejax.online.problem import Draw as Draw
from modejax.online.problem import Modes as Modes
from modejax.online.problem import Overlaps as Overlaps
from modejax.online.problem import Problem as Problem
from modejax.online.problem import Sizes as Sizes
from modejax.online.problem import check_problem as check_problem
from modejax.online.problem import draw as draw
from modejax.online.problem import order_parameters as order_parameters
from modejax.online.problem import overlaps as overlaps
from modejax.online.problem import tied_problem as tied_problem
from modejax.online.simulate import Measured as Measured
from modejax.online.simulate import simulate as simulate
from modejax.online.solve import DIVERGED as DIVERGED
from modejax.online.solve import OK as OK
from modejax.online.solve import OUT_OF_STEPS as OUT_OF_STEPS
from modejax.online.solve import Solution as Solution
from modejax.online.solve import euler as euler
from modejax.online.solve import log_times as log_times
from modejax.online.solve import solve as solve
from modejax.online.stages import Plateau as Plateau
from modejax.online.stages import end_rate as end_rate
from modejax.online.stages import find_plateaus as find_plateaus
from modejax.online.stages import parallel_rates as parallel_rates
from modejax.online.stages import relaxation_matrix as relaxation_matrix
from modejax.online.stages import relaxation_rates as relaxation_rates
from modejax.online.stages import specialisation as specialisation
from modejax.online.sweep import Members as Members
from modejax.online.sweep import SweepOptions as SweepOptions
from modejax.online.sweep import SweepResult as SweepResult
from modejax.online.sweep import grid as grid
from modejax.online.sweep import run_members as run_members
from modejax.online.teacher import draw_from as draw_from
from modejax.online.teacher import read_teacher as read_teacher
from modejax.online.teacher import sizes_of as sizes_of
from modejax.online.units import ERF as ERF
from modejax.online.units import RELU as RELU
from modejax.online.units import Unit as Unit
from modejax.online.units import gaussian_average as gaussian_average
from modejax.online.units import three as three
from modejax.online.units import unit_named as unit_named
