"""gpt2lab beside other engines: `make bench` installs them, measures all in turn and writes docs/benchmarks.md."""
