"""Become another program that does not outlive the one that started it: `tied.py PARENT PROGRAM [ARGUMENT]`.

Run as a file of its own, not between fork and exec, where only little may be done once there are threads.
On Linux the kernel then sends SIGTERM when the parent ends, however it ends. It is asked to before we look
whether the parent is still there, so there is no moment at which its end would go unnoticed.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1
GONE = 1
NOT_FOUND = 127


def main(parent: int, *command: str) -> int:
    """Tie this process to its parent and run the command in its place."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            return GONE
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]} cannot be started: {error.strerror}", file=sys.stderr)
        return NOT_FOUND


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))
