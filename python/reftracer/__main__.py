"""``python -m reftracer …``: the native command.

``run`` traces with the Python that this runs in, unless ``--python`` says another one.
"""

from __future__ import annotations

import os
import sys

from reftracer._command import ReftracerError, command


def main() -> int:
    arguments = sys.argv[1:]
    if arguments[:1] == ["run"] and not any(
        argument == "--python" or argument.startswith("--python=") for argument in arguments
    ):
        arguments[1:1] = ["--python", sys.executable]
    try:
        program = command()
        os.execv(program, [program, *arguments])
    except (ReftracerError, OSError) as error:
        print(f"reftracer: {error}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main())
