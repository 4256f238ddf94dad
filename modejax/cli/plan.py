"""`modejax plan`: what a sweep would run, without running it."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import tyro

from modejax.cli.options import File, SweepOptions, chosen_config
from modejax.cli.table import bytes_text, count_text, print_table, time_text

__all__ = ["PlanCommand"]


@dataclasses.dataclass(frozen=True)
class PlanCommand:
    """Print members, buckets, arithmetic and memory of a sweep before running it; takes the options of sweep."""

    # Without a default of its own: made here it would carry the modes of the default layer to all others.
    config: Annotated[SweepOptions, tyro.conf.arg(name="")]
    file: File = None
    json: bool = False
    """Print JSON instead of text."""

    def run(self) -> int:
        """Run the command and return its exit code."""
        config = chosen_config(self.config, self.file)
        from modejax.cli.devices import use_cores

        use_cores(config)
        from modejax.data import load_dataset
        from modejax.sweep.plan import make_plan

        dataset = load_dataset(config.dataset, data_dir=config.data_dir, seed=config.shuffle_seed)
        plan = make_plan(config, dataset)
        buckets = [
            {
                "arm": plan.arms[bucket.arm].name,
                "width": bucket.width,
                "modes": bucket.modes,
                "members": len(bucket.members),
                "launch": bucket.capacity,
            }
            for bucket in plan.buckets
        ]
        facts = {
            "dataset": dataset.name,
            "members": {arm.name: len(arm.members) for arm in plan.arms},
            "parameters": plan.parameters,
            "useful_flops": plan.useful_flops,
            "padded_flops": plan.padded_flops,
            "predicted_seconds": plan.predicted_seconds,
            "launches": plan.launches,
            "bytes": {**dataclasses.asdict(plan.memory), "process": plan.resident_bytes, "peak": plan.peak_bytes},
            "steps_per_epoch": plan.steps_per_epoch,
            "epochs": config.epochs,
            "epochs_per_call": plan.chunk,
            "evaluation_rows": plan.evaluation_rows,
            "devices": plan.devices,
            "buckets": buckets,
        }
        if self.json:
            print(json.dumps(facts, indent=2))
            return 0
        print_table(
            f"{sum(len(arm.members) for arm in plan.arms)} networks on {dataset.name} in one program",
            ("arm", "padded width", "padded modes", "members", "networks a launch"),
            [[b["arm"], str(b["width"]), str(b["modes"] or "-"), str(b["members"]), str(b["launch"])] for b in buckets],
        )
        waste = plan.padded_flops / plan.useful_flops
        print(
            f"{config.epochs} epochs of {plan.steps_per_epoch} batches, {plan.chunk} epochs a call, "
            f"{plan.launches} launch(es) on {plan.devices} device(s)"
        )
        print(
            f"{count_text(plan.useful_flops)}FLOP useful, {count_text(plan.padded_flops)}FLOP with padding "
            f"({waste:.2f} times), in matrix products of the training steps"
        )
        print(f"about {time_text(plan.predicted_seconds)} of training at the usual rate of such devices")
        print(
            f"{count_text(plan.parameters)} trainable parameters; a launch holds {bytes_text(plan.memory.state)} of "
            f"parameters and moments, {bytes_text(plan.memory.data)} of data and about "
            f"{bytes_text(plan.memory.temporary)} besides; about {bytes_text(plan.peak_bytes)} in all at the peak"
        )
        return 0
