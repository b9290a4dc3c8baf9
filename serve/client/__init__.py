"""A client for servers with TensorFlow Serving's protocol: arrays in, arrays out, over REST or gRPC.

`client.Client` is its public name. It imports nothing else of this project and, over REST, no TensorFlow.
"""
