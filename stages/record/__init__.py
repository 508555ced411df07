"""One recorder for every network: python -m stages.record TASK/NETWORK, and .adopt for runs made elsewhere."""
