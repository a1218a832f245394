"""The engine: token ids in, token ids out. It knows nothing of text.

`params` says what to generate, `protocol` what a backend offers, `native` and `torch_backend` are the two backends,
`jobs` is one text; `generate`, `scheduler`, `beam` and `score` are what one does with any of them.
"""
