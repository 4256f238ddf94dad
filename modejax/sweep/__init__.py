"""The width sweep: arms of networks trained as one compiled program.

Read in the order of the data: `axes`, `arm` and `config` (what is asked for) -> `spec` (names to networks) ->
`members`, `buckets`, `cost`, `memory` and `plan` (members, padded shapes, arithmetic, bytes, launches) -> `arrays`
(what goes into the step and comes out), `inputs` (the same, on the devices), `curves` (truncation and pruning curves)
and `program` (the compiled step) -> `execute` (launches, chunks, progress) with `states`, `records`, `checkpoint` and
`hosts` (several processes) -> `label` (labelled arrays) and `trained` (networks); `select` takes arms and best cells
out of a result, and `cache` keeps compiled programs on disk. Run folders are `modejax.runs`.
"""

from typing import TYPE_CHECKING

from modejax._lazy import lazy

if TYPE_CHECKING:
    from modejax.sweep.arm import Arm as Arm
    from modejax.sweep.config import SweepConfig as SweepConfig
    from modejax.sweep.plan import Plan as Plan
    from modejax.sweep.plan import make_plan as make_plan
    from modejax.sweep.spec import Custom as Custom
    from modejax.sweep.trained import Trained as Trained

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "arm": ["Arm"],
        "config": ["SweepConfig"],
        "plan": ["Plan", "make_plan"],
        "spec": ["Custom"],
        "trained": ["Trained"],
    },
)
