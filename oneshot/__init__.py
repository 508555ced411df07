"""One-shot learning on Omniglot: drawings, cluttered scenes, networks and their protocols."""
