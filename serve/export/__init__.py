"""A run in, a version of a model for TensorFlow Serving out (MODELS/NAME/VERSION), checked before it is published.

`export.export` writes it, `labels` says which version is served. `tasks.py` has what differs between the tasks. It may
import `seis_tf`, and nothing else of `serve`.
"""
