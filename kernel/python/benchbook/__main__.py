"""The command `benchbook`: `setup` and studies on other machines run here, all other subcommands in the server."""

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
        if words[:1] == ["study"] and any(word.split("=")[0] == "--on" for word in words):
            from benchbook import remote

            raise SystemExit(remote.main(words[1:], program))
    except server.NotInstalled as error:
        raise SystemExit(f"benchbook: {error}") from None
    os.execve(program, ["benchbook", *words], server.environment())


if __name__ == "__main__":
    main()
