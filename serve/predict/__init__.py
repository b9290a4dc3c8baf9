"""Files, folders, ObsPy streams or arrays in, an exported model's answers out, one dict a record or window.

`predict.predict` is its public name; `rows.rows` makes a table of answers. It may import `serve.export`, and nothing of
`serve.server`.
"""
