"""Hyperparameter search with KerasTuner over the models and the training loop of `seis_tf`."""
