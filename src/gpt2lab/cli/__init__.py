"""The `gpt2lab` command: one file per subcommand, imported when it is used. The only layer that talks to a terminal."""
