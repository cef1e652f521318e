"""`python -m polydx.cli` is `polydx`."""

import sys

from polydx.cli import main

if __name__ == "__main__":
    sys.exit(main())
