"""The real servers that tests share: started once a run, by whoever needs them first."""

import os

from catga.testing.servers import shared


def server(name: str) -> str:
    """Its URL."""
    # Workers of a parallel run are children of the one process that outlives them all.
    return shared(name, os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid())
