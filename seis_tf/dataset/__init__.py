"""The contract on disk: records in sharded TFRecords with `dataset.json`, written, verified and read."""
