"""How good a waveform classifier is."""
