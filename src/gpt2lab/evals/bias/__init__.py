"""A probe for bias: what a model expects to follow when only the group that a sentence names is exchanged."""
