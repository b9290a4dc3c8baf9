"""The machinery of the benchmarks: what a row is, who measures it, how its numbers are shown."""
