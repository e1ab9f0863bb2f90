"""In place of a lying host's Python: runs the real one, and changes what it says to the controller.

It stands on the host as a program. Beside it `lie.py` defines `lie(frame, call, say)`, which returns the bytes to send in
place of a frame, or None, and then nothing is said any more; `call` is the call that an agent answers, else None, and
`say` writes bytes at once. All that the controller sends is kept in `heard`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def main() -> None:
    """Stand between the controller and the program that it has sent."""
    argv = [sys.executable, *sys.argv[1:]]
    program = re.search(r"buffer\.read\((\d+)\)", " ".join(argv))
    if not program:
        os.execv(sys.executable, argv)  # noqa: S606 - it takes the place of that program
    sys.path.insert(0, str(HERE))
    from lie import lie  # type: ignore[import-not-found]

    from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared import wire

    calls: list[Any] = [None]
    said = threading.Event()
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as child:
        assert child.stdin
        assert child.stdout
        threading.Thread(target=listen, args=(child, int(program[1]), calls, wire, said), daemon=True).start()
        decoder = wire.Decoder(marker=True)
        greeted = silent = False
        while data := os.read(child.stdout.fileno(), 65536):
            frames = decoder.feed(data)
            if decoder.synchronised and not greeted:
                greeted = True
                say(wire.MARKER)
            for frame in frames:
                words = None if silent else lie(frame, calls[0], say)
                silent = words is None
                say(words or b"")
    said.set()


def listen(child: Any, size: int, calls: list[Any], wire: Any, said: threading.Event) -> None:
    """Pass on what the controller sends, and note the call that it makes; end this program when the real one has ended."""
    decoder = wire.Decoder()
    with (HERE / "heard").open("ab", buffering=0) as heard:
        while data := os.read(0, 65536):
            heard.write(data)
            for frame in decoder.feed(data[size:]):
                if frame.kind == wire.CALL:
                    calls[0] = frame.json()
            size = max(0, size - len(data))
            child.stdin.write(data)
    child.stdin.close()
    child.wait()
    said.wait(60.0)  # for the last of it, unless a lie takes for ever
    os._exit(0)


def say(data: bytes) -> None:
    """Write all of it to the controller."""
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


if __name__ == "__main__":
    main()
