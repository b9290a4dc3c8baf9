"""Settings of the local server."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from seis_tf.settings.base import Settings


class BatchingSettings(Settings):
    """How the local server joins requests; MODELS/batching.config says the same in TensorFlow Serving's words."""

    max_batch_size: int = Field(default=32, ge=1, description="records in one call of the model")
    max_rows: int | None = Field(
        default=None, ge=1, description="records in one request; null: any number, called in parts"
    )
    delay_s: float = Field(
        default=0.0, ge=0, le=1, description="how long a first request waits for others while nothing runs"
    )
    max_waiting: int = Field(
        default=1024, ge=1, description="requests that may wait for one signature; more are refused"
    )
    allowed_sizes: tuple[int, ...] = Field(
        default=(), description="batches are filled up to the next of these; empty: any size"
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        sizes = self.allowed_sizes
        if sizes and (list(sizes) != sorted(set(sizes)) or sizes[0] < 1 or sizes[-1] != self.max_batch_size):
            expected = f"ascending sizes of at least 1, the last max_batch_size {self.max_batch_size}"
            raise ValueError(f"allowed_sizes: expected {expected}, received {sizes}")
        return self


class ServerSettings(Settings):
    """The local server."""

    host: str = Field(default="127.0.0.1", description="0.0.0.0 to be reached from elsewhere: there is no password")
    allow_hosts: tuple[str, ...] = Field(
        default=(),
        description="further names by which it may be asked, as a URL has them: name or name:port",
    )
    rest_port: int = Field(default=8501, ge=0, le=65535, description="0 takes a free one")
    grpc_port: int | None = Field(default=8500, ge=0, le=65535, description="0 takes a free one; null: no gRPC")
    poll_s: float = Field(default=1.0, gt=0, description="how often MODELS is looked at for new versions")
    batching: BatchingSettings | None = Field(default=None, description="default: what MODELS/batching.config says")
    max_body_mb: float = Field(default=32.0, gt=0, description="largest request")
    max_held_mb: float = Field(default=256.0, gt=0, description="of all requests being read at one time")
    max_connections: int = Field(default=1000, ge=1)
    request_timeout_s: float = Field(default=30.0, gt=0, description="from the whole request to its answer")
    read_timeout_s: float = Field(default=20.0, gt=0, description="for a client to send its headers, and its body")
    upload_timeout_s: float = Field(
        default=20.0, gt=0, description="for files of the page to be read, in a child process"
    )
    upload_memory_mb: int = Field(default=512, ge=1, description="that reading them may take, unpacked and decoded")
    max_uploads: int = Field(
        default=8, ge=1, description="of the page at one time, waiting ones included; more are refused"
    )
    stop_timeout_s: float = Field(
        default=4.0, gt=0, description="for requests under way when the server stops; within a second more it has ended"
    )
