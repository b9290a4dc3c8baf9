"""The page of the local server: files or examples from a browser in, the answer as the page draws it out.

`page.add_routes` adds it to the server. It may import `serve.server` and `serve.predict`.
"""
