"""From a finished run to served answers; installed as `seis_tf.serve`.

`export/` makes a run a SavedModel, `predict/` answers files with it, `server/` and `page/` answer requests, `client/`
sends them; `local_server.py` starts server and page. `export` and `predict` import nothing of `server`; all may import
`seis_tf`, never `seis_tf.tuning` or the command line.
"""
