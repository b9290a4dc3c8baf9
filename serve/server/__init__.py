"""A local server with TensorFlow Serving's REST and gRPC: requests in, answers of any SavedModel out.

`core.Core` joins its parts: the models in a folder (`models`, `servable`), batches, limits and counts; `rest` and
`grpc_service` are the two protocols. It imports nothing else of `serve`.
"""
