"""`python -m catga.testing.servers nats PID FOLDER`: keeps a server while that process lives."""

import sys
from pathlib import Path

from catga.testing.servers.keeper import keep

keep(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
