"""Judging what was trained: scores, folds, comparisons, calibration, figures and the pages that show them."""
