"""Pages under docs/ that are written from what the project already says: `python -m stages.pages`."""
