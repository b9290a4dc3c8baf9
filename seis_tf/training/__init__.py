"""One training loop for one model or a stack of models."""
