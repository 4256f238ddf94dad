"""Each published figure as a function: config to result to figure and table, with the numbers measured.

One file a study; a study calls the library and the plots, writes its folder, and holds no numerics of its own.
"""
