"""`python -m colonnade_sandbox`."""

import sys

from colonnade_sandbox.server import main

sys.exit(main())
