"""Packaged Cascadia unit sources, buoys, Green's functions and bathymetry; README.md gives their provenance."""
