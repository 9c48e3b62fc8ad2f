"""``python -m raylot``: the same as the command ``raylot``."""

import sys

from raylot.command.main import main

if __name__ == "__main__":
    sys.exit(main())
