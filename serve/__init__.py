"""Runs to answers, for TensorFlow Serving and locally; installed as `seis_tf.serve`.

`export` publishes a run, `predict` answers files, `client` asks a server, `server` speaks TensorFlow Serving's
protocol, `page` is drawn in a browser, `local_server` joins the two. Imports everything up to `evaluation`; never
`tuning`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "client.client": ["Client"],
        "local_server": ["running", "serve"],
    },
)
