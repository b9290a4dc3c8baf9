"""Studies over many fits: comparison, learning curve, ablation, leaks, epochs, windows."""
