"""The one entry point of `hookbox` and `python -m hookbox`.

The standard library is patched before anything else is imported, so that no module holds on to
a socket, lock or queue that blocks. Only asking the command about itself goes without.
"""

import sys

if not {"-h", "--help", "--version", "--check-config"} & set(sys.argv[1:]):
    from gevent import monkey

    monkey.patch_all()

from hookbox.cli import main

if __name__ == "__main__":
    sys.exit(main())
