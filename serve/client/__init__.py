"""Asks a server that speaks TensorFlow Serving's protocol."""
