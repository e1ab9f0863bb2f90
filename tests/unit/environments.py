"""What the tests of environments share: tiny wheels, a lock of them, an index, and a way to run commands."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def run(
    argv: list[str],
    env: dict[str, str] | None = None,
    cwd: str | None = None,
    input: bytes | None = None,  # the agent's name for it
    on_line: Callable[[str], object] | None = None,
) -> tuple[int, str]:
    """Run a command as the agent does."""
    lines = []
    with subprocess.Popen(
        argv,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            lines.append(line)
            if on_line:
                on_line(line.rstrip("\n"))
    return process.returncode, "".join(lines)


def make_wheel(
    folder: Path, name: str, version: str = "1.0", tag: str = "py3-none-any", files: Mapping[str, str] | None = None, requires: str = ""
) -> Path:
    """Write a wheel; without `files` it has one module of its name."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + (f"Requires-Dist: {requires}\n" if requires else "")
    contents = dict(files if files is not None else {f"{name}.py": f"VERSION = {version!r}\n"})
    contents |= {f"{info}/METADATA": metadata, f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n"}
    record = "".join(f"{path},sha256={_record_hash(text)},{len(text.encode())}\n" for path, text in contents.items())
    contents[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    wheel = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in contents.items():
            archive.writestr(zipfile.ZipInfo(path), text)  # with a fixed time: equal content makes equal wheels
    return wheel


def _record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def lock_line(*wheels: Path, marker: str = "") -> str:
    """Return the line of a lock that allows these wheels of one package, with their hashes."""
    name, version = wheels[0].name.split("-")[:2]
    hashes = " ".join(f"--hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}" for wheel in wheels)
    return f"{name}=={version}{f' ; {marker}' if marker else ''} {hashes}\n"


def link(wheel: Path) -> str:
    """Return a wheel's line on its package's page."""
    return f'<a href="/files/{wheel.name}#sha256={hashlib.sha256(wheel.read_bytes()).hexdigest()}">{wheel.name}</a><br>'


class Index:
    """A package index; `hang` makes it take a request for a wheel and never answer.

    `command_lines` are those of all processes at the time of its requests, as any user can read them.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.hang = False
        self.command_lines = ""
        self.asked = threading.Event()
        self.over = threading.Event()


def command_lines() -> str:
    """Return the command lines of all processes."""
    found = ""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            found += path.read_text(errors="replace").replace("\0", " ") + "\n"
    return found


@contextmanager
def serve_index(wheels: Path, address: str = "127.0.0.1") -> Iterator[Index]:
    """Serve a directory of wheels as a simple index (PEP 503)."""
    index = Index("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.command_lines += command_lines()
            kind, _slash, name = self.path.strip("/").partition("/")
            if kind == "simple":
                links = "".join(map(link, wheels.glob(f"{name.replace('-', '_')}-*.whl")))
                self.answer(f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), "text/html")
            elif index.hang:
                index.asked.set()
                index.over.wait()
            elif (wheels / name).is_file():
                self.answer((wheels / name).read_bytes(), "application/octet-stream")
            else:
                self.send_error(404)

        do_HEAD = do_GET  # noqa: N815 - the name the server calls it by

        def answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer((address, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    index.url = f"http://{address}:{server.server_port}/simple"
    try:
        yield index
    finally:
        index.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
