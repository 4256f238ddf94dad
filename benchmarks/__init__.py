"""Benchmarks: how fast a sweep is, against the same networks one by one and against the machine.

`common` holds what they share; each script takes `--smoke` (seconds, for a first look) and writes one JSON file with
versions, device, config and all repeats. `compare` prints tables from such files; the figures in the README come from
those committed in `results/`. A fast path's time is printed only if its numbers equal the slow path's.
"""
