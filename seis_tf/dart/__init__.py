"""The job `dart`, from buoy files to a trained network's input."""
