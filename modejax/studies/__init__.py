"""Published figures as functions: settings in, data and figures in a folder out.

One file a study; each has `run(out, quick, seeds)`. A study calls sweeps and draws; how networks are built, trained or
cut belongs elsewhere. Where a claim of a paper does not hold in the measurement, the study says so.
"""
