"""The error for a request that can't be answered, with TensorFlow Serving's status for REST and gRPC."""

from __future__ import annotations

import re

import tensorflow as tf

# gRPC status -> HTTP status, as TensorFlow Serving's HTTP server translates them.
HTTP_STATUS = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
}
_TF_CODE = {value: name for name, value in vars(tf.errors).items() if isinstance(value, int) and name in HTTP_STATUS}
_LONGEST_MESSAGE = 1000


class Refused(ValueError):
    """An error that is the answer to a request.

    Attributes:
        code: name of the gRPC status, e.g. "INVALID_ARGUMENT".
        http_status: of the answer over REST.
    """

    def __init__(self, code: str, message: str, http_status: int | None = None):
        super().__init__(message)
        self.code, self.http_status = code, http_status or HTTP_STATUS[code]


def from_tensorflow(err: tf.errors.OpError) -> Refused:
    """The same error without the graph's stack trace, which says nothing to a caller."""
    reasons = [line.strip() for line in err.message.splitlines() if line.strip()]
    # The reason comes after the traceback of the node's definition, before the node's name in double brackets.
    named = [index for index, line in enumerate(reasons) if line.startswith("[[{{node")]
    inline = [line for line in reasons if "[[{{node" in line and not line.startswith("[[{{node")]
    if named and named[0] > 0:
        reason = reasons[named[0] - 1]
    elif inline:
        reason = inline[0]
    else:
        reason = reasons[0] if reasons else type(err).__name__
    reason = re.sub(r"\s*\[\[\{\{node.*", "", reason)
    return Refused(_TF_CODE.get(err.error_code, "UNKNOWN"), reason[:_LONGEST_MESSAGE])


def in_words(err: Exception) -> str:
    """The first line of a library's error, with its type where the text alone says little (`KeyError: 3`)."""
    text = next((line.strip() for line in str(err).splitlines() if line.strip()), "")[:_LONGEST_MESSAGE]
    if text and isinstance(err, ValueError | OSError):
        return text
    return f"{type(err).__name__}: {text}" if text else type(err).__name__
