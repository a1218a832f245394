"""The HTTP server: OpenAI's completions API on the engine's continuous batching, and what the pages ask for.

`app.create_app` makes the application, `settings` says what it allows, `hosting` runs it. `models` holds what is
loaded; `completions`, `embeddings`, `explore` and `analyze` answer; `gate` stands before all of them.
"""
