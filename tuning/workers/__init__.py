"""Several processes at one search: KerasTuner's chief, which gives out trials, and workers, which train them.

In: a search's settings, an address. Out: the same folder as of a search in one process. Imports the rest of `tuning`.
"""
