"""The command `benchbook`: `setup` here, everything else in the server's program."""

import os
import sys

from benchbook import server


def main() -> None:
    words = sys.argv[1:]
    try:
        if words[:1] == ["setup"]:
            from benchbook import setup

            raise SystemExit(setup.main(words[1:]))
        program = server.program()
    except server.NotInstalled as error:
        raise SystemExit(f"benchbook: {error}") from None
    os.execve(program, ["benchbook", *words], server.environment())


if __name__ == "__main__":
    main()
