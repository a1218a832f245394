"""What language models are used for, each application in a package of its own; none knows another."""
