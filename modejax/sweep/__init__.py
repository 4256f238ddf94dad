"""The width sweep: a grid of networks trained as one compiled program.

Read in the order of the data: `config` (what is asked for) -> `spec` (names to networks) -> `cost`, `memory` and `plan`
(members, buckets, arithmetic, bytes, launches) -> `arrays` (what goes into the step and comes out), `curves`
(truncation and pruning curves) and `program` (the compiled step) -> `run` (launches, chunks, progress) with `states`,
`records`, `checkpoint` and `hosts` (several processes) -> `result` (labelled arrays, run folders), `trained` (networks)
and `removal` (accuracy with modes removed in other orders).
Pictures and the command line may not come in.
"""

from typing import TYPE_CHECKING

from modejax._lazy import lazy

if TYPE_CHECKING:
    from modejax.sweep.config import SweepConfig as SweepConfig
    from modejax.sweep.plan import Plan as Plan
    from modejax.sweep.plan import make_plan as make_plan
    from modejax.sweep.removal import removal_curves as removal_curves
    from modejax.sweep.result import load_result as load_result
    from modejax.sweep.run import run_sweep as run_sweep
    from modejax.sweep.trained import load_networks as load_networks

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "config": ["SweepConfig"],
        "plan": ["Plan", "make_plan"],
        "removal": ["removal_curves"],
        "result": ["load_result"],
        "run": ["run_sweep"],
        "trained": ["load_networks"],
    },
)
