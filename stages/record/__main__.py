"""`python -m stages.record`."""

from stages.command import run
from stages.record.main import main

run(main)
