"""Searches by several processes or machines."""
