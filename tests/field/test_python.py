"""Launches from Python programs as people write them: values of many types, notebooks, threads, loops, interruptions."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE = 200  # seconds after which a launch hangs
JOB = '["127.0.0.1"] * 2, command=["echo", "hi"], starting_port="auto"'
LONG = '["127.0.0.1"] * 2, command=["sh", "-c", "echo up; sleep 600"], starting_port="auto"'


@dataclass(frozen=True)
class Program:
    """A program and what it prints; exit status 0 unless `returncode` says otherwise.

    Attributes:
        name: of the row.
        code: its text.
        out: what it prints.
        flags: of its Python.
        returncode: its exit status.
    """

    name: str
    code: str
    out: str = "0"
    flags: tuple[str, ...] = ()
    returncode: int = 0


# In one program: a line each of (call, what it gives, or the message of its UsageError).
VALUES = [
    ("plan(args=[Path('a'), 3, 1.5, Kind.RING])", "a 3 1.5 ring"),
    ("plan(args=(str(n) for n in range(2)))", "0 1"),
    ("plan(args=Array([1, 2]))", "1 2"),
    ("plan(args=range(2))", "0 1"),
    ("plan(args={'a': 1}.keys())", "a"),
    ("plan(args=[True])", "mlx_args: a list with True in it is not a list of words"),
    ("plan(args=[None])", "mlx_args: a list with None in it is not a list of words"),
    ("plan(args=[b'a'])", "mlx_args: a list with bytes in it is not a list of words"),
    ("plan(args=[object()])", "mlx_args: a list with a value of type object in it is not a list of words"),
    ("plan(env=MappingProxyType({'A': Number(1), 'B': Path('b'), 'C': Kind.RING}), verbose=True)", ""),
    ("plan(env={'A': True})", "--env: the value of A is True; want text, in quotes"),
    ("plan(env={'A': None})", "--env: the value of A is None; want text, in quotes"),
    ("plan(env=[('A', 'b')])", "--env: a list is not a mapping of names to values"),
    ("plan(backend=Kind.RING, group=Text('mlx'))", ""),
    ("plan(starting_port=Number(3333), grace=Number(0.5), keep=Number(1), sync=Number(True), stdin=Number(1))", ""),
    ("plan(grace=Decimal('2.5'), starting_port=Port.FIRST)", ""),
    ("plan(starting_port=True)", "--starting-port: True is not a whole number, or auto"),
    ("plan(grace=Array([3]))", "--grace: [3] is not a number"),
    ("plan(cwd=b'/tmp', log_dir=Path('runs'))", ""),
    ("plan(terminal=(Number(80), Number(24)))", ""),
    ("plan(terminal=os.terminal_size((80, 24)))", ""),
    ("plan(terminal=(80,))", "terminal: want (columns, lines), two numbers, not (80,)"),
    ("plan(script=None)", "no script is given"),
    ("plan(script=b'/opt/x.py')", ""),
    ("plan(inventory=(host for host in HOSTS))", ""),
    ("plan(inventory=Array(HOSTS))", ""),
    ("plan(inventory={'mlx': {'hosts': {'127.0.0.1': {'ansible_connection': 'local', 'mlx_slots': Number(2)}}}})", ""),
    ("plan(inventory={'hosts': ({'ssh': '127.0.0.1', 'ips': ('127.0.0.1',)},)})", ""),
    ("plan(inventory=None)", "inventory: want a path, a mapping or a list, not a value of type NoneType"),
    ("plan(inventory=2)", "inventory: want a path, a mapping or a list, not a value of type int"),
    ("plan(inventory={'mlx': {'hosts': {'a': {'x': object()}}}})", "inventory: a value is neither text, number, list nor mapping"),
]
TYPES = '''
import enum, os
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from mlxlaunch_ansible import UsageError
from mlxlaunch_ansible._request import JobRequest, Surroundings
from mlxlaunch_ansible import _start
import json
class Array:
    """As NumPy's and MLX's arrays and numbers: no number of Python's, but with `tolist`."""
    def __init__(self, value): self.value = value
    def tolist(self): return self.value
Number = Array
class Text(str): pass
Kind = enum.Enum("Kind", {"RING": "ring"})
Port = enum.IntEnum("Port", {"FIRST": 32323})
HOSTS = ["127.0.0.1"] * 2
def plan(inventory=HOSTS, script="/opt/x.py", **settings):
    settings = {"script": script, **settings}
    terminal = settings.pop("terminal", None)
    seen = {}
    def launch(inventory, settings, surroundings, **_how):
        request = JobRequest.of(inventory, settings, surroundings)
        seen.update(json.loads(json.dumps(request.setup)))
        if request.source.data: json.dumps(request.source.data)
    _start.launch = launch
    _start.start_job(inventory, terminal=terminal, **settings)
    return " ".join(map(str, seen["settings"]["args"]))
def said(call):
    try: return eval(call)
    except UsageError as error: return str(error)
'''

PROGRAMS = [
    Program(
        "notebook's streams",
        """
        import io, sys
        class Stream(io.TextIOBase):
            def write(self, text): return len(text)
            def fileno(self): raise io.UnsupportedOperation("fileno")
        before = sys.stdout
        sys.stdout = sys.stderr = Stream()
        sys.stdin = io.StringIO()
        print(run_job(JOB).returncode, file=before, flush=True)
        """,
    ),
    Program(
        "no streams",
        """
        import sys
        before = sys.stdout
        sys.stdin = sys.stdout = sys.stderr = None
        print(run_job(JOB).returncode, file=before, flush=True)
        """,
    ),
    Program(
        "descriptors closed",
        """
        import os
        before = os.dup(1)
        for fd in range(3): os.close(fd)
        os.write(before, b"%d" % run_job(JOB).returncode)
        """,
    ),
    Program(
        "event loop, two at once, and again",
        """
        import asyncio
        async def main():
            both = await asyncio.gather(*(asyncio.to_thread(lambda: run_job(JOB).returncode) for _ in range(2)))
            return both, run_job(JOB).returncode
        print(asyncio.run(main()))
        """,
        "([0, 0], 0)",
    ),
    Program(
        "second while the first runs",
        """
        with start_job(LONG) as job:
            print(run_job(JOB).returncode)
        """,
    ),
    Program(
        "after fork",
        """
        import os
        run_job(JOB)
        pid = os.fork()
        if not pid:
            print(run_job(JOB).returncode, flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        """,
    ),
    Program(
        "spawned",
        """
        import multiprocessing
        def work(queue): queue.put(run_job(JOB).returncode)
        if __name__ == "__main__":
            context = multiprocessing.get_context("spawn")
            queue = context.Queue()
            process = context.Process(target=work, args=(queue,), daemon=True)
            process.start()
            print(queue.get())
            process.join()
        """,
    ),
    Program(
        "handlers stay the program's own",
        """
        import signal
        handle = lambda *_args: None
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGWINCH)
        for number in numbers: signal.signal(number, handle)
        run_job(JOB)
        print([signal.getsignal(number) is handle for number in numbers], signal.set_wakeup_fd(-1))
        """,
        "[True, True, True, True, True] -1",
    ),
    Program("SIGCHLD ignored", "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); print(run_job(JOB).returncode)"),
    Program("warnings are errors", "print(run_job(JOB).returncode)", flags=("-W", "error", "-X", "dev")),
    Program("optimised", "print(run_job(JOB).returncode)", flags=("-OO",)),
    Program("no argv", "import sys; sys.argv = []; print(run_job(JOB).returncode)"),
    Program("embedded", "import sys; sys.executable = ''; print(run_job(JOB).returncode)"),
    Program("embedded, None", "import sys; sys.executable = None; print(run_job(JOB).returncode)"),
    Program(
        "interrupted in run_job", "try: run_job(LONG, on_event=interrupt)\nexcept KeyboardInterrupt: print('interrupted')", "interrupted"
    ),
    Program(
        "interrupted in wait",
        """
        try:
            with start_job(LONG, on_event=interrupt) as job: job.wait()
        except KeyboardInterrupt: print(job.wait().returncode, job.running)
        """,
        "143 False",
    ),
    Program(
        "interrupted in an iteration",
        """
        try:
            with start_job(LONG) as job:
                for event in job: interrupt(event)
        except KeyboardInterrupt: print(job.wait().returncode, job.running)
        """,
        "143 False",
    ),
    Program(
        "iteration left early",
        """
        with start_job(LONG) as job:
            events = iter(job)
            next(events)
            events.close()
        print(job.wait().returncode)
        """,
        "143",
    ),
    Program("exit with a running job", "job = start_job(LONG)\nfor event in job:\n    if event.event == 'rank_output': break", ""),
    Program("exit before it runs", "start_job(LONG)", ""),
    Program("exit status with a running job", "import sys; job = start_job(LONG); next(iter(job)); sys.exit(5)", "", returncode=5),
]
START = """\
import os, signal
from mlxlaunch_ansible import run_job, start_job
def interrupt(event):
    if event.event == "rank_output" and event.rank == 0: os.kill(os.getpid(), signal.SIGINT)  # once
"""


def test_values_of_every_type_do_or_are_refused_in_words(tmp_path: Path) -> None:
    calls = f"for call in {[call for call, _said in VALUES]!r}: print(said(call))"
    done = run([], TYPES + calls, tmp_path)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == len(VALUES)
    wrong = [(call, line) for (call, said), line in zip(VALUES, lines, strict=True) if not (line.startswith(said) if said else line == "")]
    assert wrong == []


@pytest.mark.sweep
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_program_gets_its_job_done(program: Program, tmp_path: Path) -> None:
    code = textwrap.dedent(program.code).replace("JOB", JOB).replace("LONG", LONG)
    done = run([*program.flags], START + code, tmp_path)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (program.returncode, program.out, "")


def test_program_that_ends_at_once_leaves_no_directory(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="mx-", dir="/tmp"))  # short, as sockets want it
    done = run([], START + f"import tempfile; tempfile.tempdir = {str(folder)!r}; start_job({LONG})", tmp_path)
    assert (done.returncode, done.stderr, list(folder.iterdir())) == (0, "", [])
    folder.rmdir()


def run(flags: list[str], code: str, here: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python of its own, from a file, as `spawn` wants it."""
    script = here / "program.py"
    script.write_text(code)
    environment = {"HOME": str(here), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    return subprocess.run(
        [sys.executable, *flags, str(script)], cwd=here, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
