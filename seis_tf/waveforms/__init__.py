"""The job `waveforms`, from record files to a trained network's input."""
