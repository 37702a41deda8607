"""python -m app: the command line."""

import sys

try:
    from app.cli.main import main
except KeyboardInterrupt:  # importing takes a second or two, and Ctrl-C then deserves no traceback either
    sys.exit(130)

main()
