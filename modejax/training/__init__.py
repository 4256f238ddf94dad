"""Training of one network as pure functions; sweeps vmap them.

Read `loss`, then `optimiser` (any of optax's, with decoupled weight decay, applied to trainable leaves only) and
`schedule`, then `step` (one update and the evaluation on a block of examples), then `widths` (does the learning rate
carry over?). Loops over batches and epochs are in `modejax.sweep`. Nothing here depends on data sets or files.
"""

from modejax.training.loss import LOSSES as LOSSES
from modejax.training.loss import Loss as Loss
from modejax.training.loss import count_right as count_right
from modejax.training.loss import cross_entropy as cross_entropy
from modejax.training.loss import squared_error as squared_error
from modejax.training.loss import sum_loss as sum_loss
from modejax.training.optimiser import Optimiser as Optimiser
from modejax.training.optimiser import adam as adam
from modejax.training.optimiser import adamax as adamax
from modejax.training.optimiser import merge as merge
from modejax.training.optimiser import split as split
from modejax.training.schedule import Moment as Moment
from modejax.training.schedule import rate_at as rate_at
from modejax.training.step import LARGEST_LOSS as LARGEST_LOSS
from modejax.training.step import Best as Best
from modejax.training.step import TrainState as TrainState
from modejax.training.step import evaluate as evaluate
from modejax.training.step import init_state as init_state
from modejax.training.step import keep_best as keep_best
from modejax.training.step import start_state as start_state
from modejax.training.step import train_step as train_step
from modejax.training.widths import WidthCheck as WidthCheck
from modejax.training.widths import check_widths as check_widths
