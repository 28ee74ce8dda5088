"""What a lab costs beside the raw tools, as ratios from one run on this machine. `invoke bench` runs all.

Each module without a leading underscore is a benchmark: a function `measure(trial)` that yields figures.
"""
