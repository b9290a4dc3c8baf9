"""Generators of simulated raw records with known truth, for the demo, the tests and the docs."""
