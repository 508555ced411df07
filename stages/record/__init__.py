"""The recorder of every network: python -m stages.record, and stages.record.adopt for runs made elsewhere."""
