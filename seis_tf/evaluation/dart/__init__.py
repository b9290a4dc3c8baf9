"""How good DART answers are."""
