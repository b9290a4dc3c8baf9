"""A run to a SavedModel for TensorFlow Serving, checked before it is published."""
