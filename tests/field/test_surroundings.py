"""Launches in the surroundings that people's shells, service managers and machines give a process."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.caller.control import FOLDER
from tests.support.waiting import wait_until

MLXLAUNCH = Path(sys.executable).with_name("mlxlaunch")
TOP = Path(__file__).parents[2]
#: Seconds after which a launch, or what it leaves, hangs. A busy machine takes many times as long as another.
PATIENCE = 200
HI = ["hi", "hi"]
GONE = "mkdir gone && cd gone && rmdir ../gone && "
NOBODY = "env -u HOME unshare --user --map-user=12345 "
UNFIT = "standard output could not be written: "


@dataclass(frozen=True)
class Row:
    """What a shell is asked to do around `$RUN` (a launch of two ranks) or `$MLX` (the command), and what a user sees.

    Attributes:
        name: of the row.
        shell: text for bash.
        out: lines on standard output; None for any.
        returncode: exit status.
        error: part of a line on standard error.
        record: whether both ranks' logs have "hi", wherever it was shown.
    """

    name: str
    shell: str
    out: list[str] | None = field(default_factory=lambda: HI)
    returncode: int = 0
    error: str = ""
    record: bool = False


DESCRIPTORS = [
    Row("no stdin", "$RUN echo hi <&-"),
    Row("no stdout", "$RUN echo hi >&-", [], record=True),
    Row("no stderr", "$RUN echo hi 2>&-"),
    Row("none", "$RUN echo hi <&- >&- 2>&-", [], record=True),
    Row("stdin that cannot be read", "$RUN cat 0>/dev/null", []),
    Row("full stdout", "$RUN echo hi >/dev/full", [], error=UNFIT + "No space left", record=True),
    Row("full stderr", "$RUN echo hi 2>/dev/full"),
    Row("full stderr: rank that fails", "$RUN sh -c 'echo hi; exit 7' 2>/dev/full", None, 7),
    Row("full stderr: more than nothing to say", "$MLX check -n 2 2>/dev/full", None),
    Row("full stderr: unknown option", "$MLX run --nodes 2 2>/dev/full", [], 2),
    Row("full stderr: no such script", "$MLX sync -n 2 nothere.py 2>/dev/full", [], 2),
    Row("stdout that cannot be written", "$RUN echo hi 1</dev/null", [], error=UNFIT + "Bad file descriptor", record=True),
    Row("reader gone", "$RUN sh -c 'echo hi; sleep 600' | true; exit ${PIPESTATUS[0]}", [], 141, "nobody reads the output any more"),
    Row("check without stdout", "$MLX check -n 2 >&-", [], error="127.0.0.1 is ready"),
    Row("hostfile to a full disk", "$MLX hostfile -i hosts.yml >/dev/full", [], 1, "standard output cannot be written: No space left"),
    Row("dry run to a full disk", "$MLX run -n 2 --dry-run -- x >/dev/full", [], 1, "standard output cannot be written: No space left"),
    Row("runs to a full disk", "$RUN true && $MLX runs >/dev/full", [], 1, "standard output cannot be written: No space left"),
]
LOCALES = [
    Row(f"LC_ALL={name}", f"LC_ALL={name} $RUN printf 'h\\303\\257\\n'", ["hï", "hï"])
    for name in ("C", "POSIX", "xx_XX", "de_DE.UTF-8", "en_US.ISO-8859-1")
] + [Row("ranks keep it", "LC_ALL=C $RUN sh -c 'echo $LC_ALL'", ["C", "C"])]
PLACES = [
    Row("directory gone: run", GONE + "$RUN echo hi", [], 2, "the current directory cannot be used: No such file"),
    Row("directory gone: script", GONE + "$MLX run -n 2 x.py", [], 2, "the current directory cannot be used: No such file"),
    Row("directory gone: sync", GONE + "$MLX sync -n 2 x.py", [], 2, "the current directory cannot be used: No such file"),
    Row("directory gone: hostfile", GONE + "$MLX hostfile -i $HERE/hosts.yml", [], 2, "the current directory cannot be used"),
    Row("directory without r", "mkdir x && chmod 111 x && cd x && $RUN echo hi"),
    Row("directory by a link", "mkdir x && ln -s x link && cd link && $RUN sh -c 'cd $(pwd -P) && echo hi'"),
    Row("no HOME", "env -u HOME XDG_STATE_HOME=$HERE/state $RUN echo hi"),
    Row("HOME missing", "HOME=$HERE/nowhere $RUN echo hi"),
    Row("HOME with blanks", "mkdir 'a b' && HOME=\"$HERE/a b\" $RUN echo hi"),
    Row("HOME is a file", "touch file && HOME=$HERE/file XDG_STATE_HOME=$HERE/state $RUN echo hi"),
    Row("HOME takes nothing", "HOME=/proc XDG_STATE_HOME=$HERE/state $RUN echo hi"),
    Row("HOME takes nothing, nor its record", "HOME=/proc $RUN echo hi", [], 2, "cannot make the run directory"),
    Row("unknown user", NOBODY + "$RUN echo hi", [], 2, "HOME is not set, and user 12345 has no home directory; set HOME, or say where"),
    Row("unknown user with a place", NOBODY + "$MLX run --log-dir logs -n 2 --starting-port auto -- echo hi"),
    *(
        Row(f"TMPDIR={path}", f"TMPDIR={path} $RUN echo hi")
        for path in ("", "/nowhere", "relative", "/proc", "$HERE/$(printf x%.0s {1..120})")
    ),
    Row(
        "directory for all with an ansible.cfg",
        "chmod 777 . && echo '[defaults]' > ansible.cfg && $RUN echo hi",
        error="ansible.cfg is ignored, as anybody may write to this directory",
    ),
    Row("inventory plugin for other names", "ANSIBLE_INVENTORY_PLUGIN_EXTS=.yaml $RUN echo hi"),
    Row("other inventory plugins", "printf '[inventory]\nenable_plugins = host_list, ini\n' > ansible.cfg && $RUN echo hi"),
    Row("TMPDIR with blanks", "mkdir 'a b' && TMPDIR=\"$HERE/a b\" $RUN echo hi"),
    *(Row(f"umask {mask}", f"umask {mask} && $RUN echo hi", record=True) for mask in ("0", "077", "777")),
]
NOT_UTF8 = [
    Row("variable", "X=$'\\xe9t\\xe9' $RUN sh -c 'printf %s \"$X\" | od -An -tx1'", [" e9 74 e9"] * 2),
    Row("name of a variable", "env $'\\xe9=1' $RUN echo hi"),
    Row("OLDPWD", "mkdir $'caf\\xe9' && cd $'caf\\xe9' && cd .. && $RUN echo hi"),
    Row("directory", "mkdir $'\\xe9' && cd $'\\xe9' && $RUN sh -c 'basename \"$(pwd)\" | od -An -tx1'", [" e9 0a"] * 2),
    Row("inventory", "mkdir $'\\xe9' && cd $'\\xe9' && cp ../hosts.yml . && $MLX run -i hosts.yml --starting-port auto -- echo hi"),
    *(Row(name, f"mkdir $'\\xe9' && {name}=$HERE/$'\\xe9' $RUN echo hi") for name in ("HOME", "TMPDIR", "XDG_STATE_HOME")),
]
LIMITS = [
    Row("few files", "ulimit -n 64; $RUN echo hi", [], 2, "raise it (ulimit -Hn"),
    Row("few files at first", "ulimit -Sn 64; $RUN echo hi"),
    Row("no file", "ulimit -f 0; $RUN echo hi", [], 1, "No usable temporary directory"),
]
PYTHONS = [
    Row("no pidfd_open", "echo 'import os; del os.pidfd_open' > sitecustomize.py; PYTHONPATH=$HERE $RUN echo hi"),
    Row("noise", "echo 'print(\"noise\")' > sitecustomize.py; PYTHONPATH=$HERE $RUN echo hi", [*HI, "noise"]),
    Row("strict", "PYTHONSAFEPATH=1 PYTHONOPTIMIZE=2 PYTHONWARNINGS=error PYTHONUNBUFFERED=1 PYTHONDEVMODE=1 $RUN echo hi"),
    Row("ASCII", "PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 PYTHONIOENCODING=ascii LC_ALL=C $RUN printf 'h\\303\\257\\n'", ["hï", "hï"]),
]
WRAPPERS = [
    Row("env -i", "env -i HOME=$HOME $RUN echo hi"),
    Row("env -i, no PATH", "env -i PATH=/nowhere HOME=$HOME $RUN /bin/echo hi"),
    Row("setsid", "setsid --wait $RUN echo hi"),
    Row("script", 'script -qec "$RUN echo hi 2>/dev/null" /dev/null </dev/null'),
    Row("timeout", "timeout 150 $RUN echo hi"),
    Row("timeout that passes", "timeout 3 $RUN sleep 600", [], 124),
    Row("xargs", "echo hi | xargs $RUN echo"),
    Row("nice", "nice -n 7 $RUN nice", ["7", "7"]),
]
DISPOSITIONS = [
    Row("ignored ones", "trap '' HUP INT TERM QUIT USR1 PIPE CHLD; $RUN grep -h SigIgn /proc/self/status", ["SigIgn:\t" + "0" * 16] * 2),
    Row("blocked ones", f"{sys.executable} blocked.py $RUN grep -h SigBlk /proc/self/status", ["SigBlk:\t" + "0" * 16] * 2),
]
BLOCKED = "import os, signal, sys\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\nos.execvp(sys.argv[1], sys.argv[1:])\n"
HOSTS = "mlx: {hosts: {127.0.0.1: {ansible_connection: local, mlx_slots: 2}}}\n"


def of_programs(line: str) -> str:
    """Return a line of /proc/self/status without signals 32 and 33, the C library's own: no program can set them."""
    name, tab, mask = line.partition("\t")
    return f"{name}\t{int(mask, 16) & ~(0b11 << 31):016x}" if tab and name.startswith("Sig") else line


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """The variables of a plain launch; the directory has an inventory."""
    (tmp_path / "home").mkdir()
    (tmp_path / "blocked.py").write_text(BLOCKED)
    (tmp_path / "hosts.yml").write_text(HOSTS)
    plain = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "USER", "LOGNAME")}
    run = f"{MLXLAUNCH} run -n 2 --starting-port auto --"
    return plain | {"HOME": str(tmp_path / "home"), "HERE": str(tmp_path), "RUN": run, "MLX": str(MLXLAUNCH)}


@pytest.mark.sweep
@pytest.mark.parametrize(
    "row", [*DESCRIPTORS, *LOCALES, *PLACES, *NOT_UTF8, *LIMITS, *PYTHONS, *WRAPPERS, *DISPOSITIONS], ids=lambda row: row.name
)
def test_launch_works_or_says_why(row: Row, tmp_path: Path, surroundings: dict[str, str]) -> None:
    if NOBODY in row.shell and subprocess.run(["unshare", "--user", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    done = subprocess.run(
        ["/bin/bash", "-c", row.shell],
        cwd=tmp_path,
        env=surroundings,
        capture_output=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    err = done.stderr.decode()
    assert (done.returncode, row.error in err, "Traceback" in err) == (row.returncode, True, False), err
    if row.out is not None:
        assert [of_programs(line) for line in done.stdout.decode().splitlines()] == row.out, err
    if row.record:
        assert [log.read_text() for log in (tmp_path / "home").glob("**/stdout.log")] == ["hi\n", "hi\n"]


# -- signals


def ignoring(number: signal.Signals, argv: list[str]) -> list[str]:
    """A command that ignores a signal, as one of nohup or of a script's `&` does."""
    return ["/bin/sh", "-c", f"trap '' {number.name.removeprefix('SIG')}; exec \"$@\"", "sh", *argv]


@contextlib.contextmanager
def started(argv: list[str], surroundings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A launch whose ranks have said "up"."""
    log = Path(surroundings["HERE"], "log")
    with (
        log.open("wb") as out,
        subprocess.Popen(
            argv, cwd=log.parent, env=surroundings, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        ) as job,
    ):
        try:
            wait_until(lambda: log.read_text().count("up\n") == 2 or job.poll() is not None, "both ranks are up", PATIENCE)
            yield job
        finally:
            if job.poll() is None:
                job.kill()


def descendants(pid: int, ranks: bytes = b"") -> list[int]:
    """A process and all below it, without those that have a word in their command and all below these."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if not ranks or ranks not in (folder / "cmdline").read_bytes() or b"mlxlaunch" in (folder / "cmdline").read_bytes():
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def left(surroundings: dict[str, str]) -> list[str]:
    """What a job may leave: processes with its home, and directories for sockets."""
    processes = []
    mark = f"HOME={surroundings['HOME']}\0".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            processes += [environ.parent.name] if mark in environ.read_bytes() else []
    return processes + [path.name for path in Path(surroundings["TMPDIR"]).glob(f"{FOLDER}*")]


@pytest.fixture
def short_tmp(surroundings: dict[str, str]) -> Iterator[dict[str, str]]:
    """The same, with a directory for temporary files that no other launch uses; its name is short, as sockets want it."""
    folder = tempfile.mkdtemp(prefix="mx-", dir="/tmp")
    yield surroundings | {"TMPDIR": folder}
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("way", "number"),
    [
        ("command", signal.SIGHUP),
        ("command", signal.SIGINT),
        ("command", signal.SIGTERM),
        ("playbook", signal.SIGHUP),  # for the others, Ansible has handlers of its own
    ],
)
def test_signal_that_was_ignored_stays_so(way: str, number: signal.Signals, surroundings: dict[str, str]) -> None:
    words = ["sh", "-c", "echo up; until [ -e on ]; do sleep 0.1; done"]
    argv = [*surroundings["RUN"].split(), *words]
    if way == "playbook":
        argv = [
            str(MLXLAUNCH.with_name("ansible-playbook")),
            "-i",
            "hosts.yml",
            str(TOP / "playbooks" / "launch.yml"),
            "-e",
            json.dumps({"mlx_command": words}),
        ]
        surroundings |= {"ANSIBLE_CONFIG": str(TOP / "ansible.cfg")}
    here = Path(surroundings["HERE"])
    with started(ignoring(number, argv), surroundings) as job:
        for pid in descendants(job.pid, b"until"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        (here / "on").touch()
        assert job.wait(PATIENCE) == 0, (here / "log").read_text()


def test_sigterm_to_all_at_once_leaves_ranks_their_grace(short_tmp: dict[str, str]) -> None:
    """As `systemctl stop` does it."""
    words = ["sh", "-c", "trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.1; done"]
    with started([*short_tmp["RUN"].split(), *words], short_tmp) as job:
        for pid in descendants(job.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        returncode = job.wait(PATIENCE)
    log = Path(short_tmp["HERE"], "log").read_text()
    assert (returncode, log.count("bye\n")) == (143, 2), log
    assert "SIGKILL" not in log
    wait_until(lambda: not left(short_tmp), "nothing is left", PATIENCE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_signal_that_a_parent_blocked_ends_the_job(number: signal.Signals, surroundings: dict[str, str]) -> None:
    argv = [sys.executable, "blocked.py", *surroundings["RUN"].split(), "sh", "-c", "echo up; sleep 600"]
    with started(argv, surroundings) as job:
        job.send_signal(number)
        assert job.wait(PATIENCE) == 128 + number


def test_killed_launcher_leaves_nothing(short_tmp: dict[str, str]) -> None:
    with started([*short_tmp["RUN"].split(), "sh", "-c", "echo up; sleep 600"], short_tmp) as job:
        job.kill()
        job.wait(PATIENCE)
        wait_until(lambda: not left(short_tmp), "nothing is left", PATIENCE)
