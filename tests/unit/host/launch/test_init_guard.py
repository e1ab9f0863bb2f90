"""What a rank does when it imports MLX: a world of one is an error, and a rank that fails under MPI does not wait for the others."""

from __future__ import annotations

import signal
import sys

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.backends.backends import watching_modules
from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.hosts.bootstrap import host_sources
from tests.unit.host.watched_ranks import INIT, WatchedRank

# -- a world of one, with the real MLX


def test_world_of_one_names_a_hostfile_that_is_gone(rank: WatchedRank) -> None:
    rank.stage("ring", 4)
    done = rank.run(f"import os\ndel os.environ['MLX_HOSTFILE']\n{INIT}", MLX_HOSTFILE="/tmp/hosts")
    assert done.returncode == 1
    assert (
        "RuntimeError: this job has 4 ranks, and rank 1 found itself in a world of 1: "
        "backend ring did not come up: MLX_HOSTFILE is gone, or was changed by the program"
    ) in done.stderr


@pytest.mark.parametrize("call", ["backend='mpi'", "False, 'mpi'"])
def test_world_of_one_names_another_backend_of_the_program(rank: WatchedRank, call: str) -> None:
    rank.stage("ring")
    done = rank.run(f"import mlx.core as mx\nmx.distributed.init({call})\n", MLX_MPI_LIBNAME="/nowhere/libmpi.so")
    assert done.returncode == 1
    assert "found itself in a world of 1: the script asks for backend mpi; launch it with --backend mpi" in done.stderr


def test_mpi_without_its_library_names_what_was_to_be_loaded(rank: WatchedRank) -> None:
    rank.stage("mpi")
    done = rank.run(INIT, MLX_MPI_LIBNAME="/nowhere/libmpi.so")
    assert done.returncode == 1
    assert "backend mpi did not come up: this MLX does not have it, or cannot load it (MLX_MPI_LIBNAME: /nowhere/libmpi.so)" in done.stderr


def test_init_reads_as_before(rank: WatchedRank) -> None:
    rank.stage()
    done = rank.run("import mlx.core as mx\nprint(mx.distributed.init.__name__, 'Initialize' in mx.distributed.init.__doc__)\n")
    assert (done.stdout, done.stderr) == ("init True\n", "")


def test_world_of_one_that_is_wanted_is_not_watched() -> None:
    assert watching_modules("ring", 1, host_sources()) == {}


def test_world_of_all_ranks_is_given_to_the_program(rank: WatchedRank) -> None:
    rank.stage()
    rank.fake_mlx()
    done = rank.run(f"{INIT}print(group.size())\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\nfinalized\n", "")


# -- the end under MPI


#: What ends a program, its exit status, and what it prints before it finalizes, or instead.
ENDS = {
    "end": ("print('end')", 0, "end\nfinalized\n"),
    "exit 0": ("sys.exit(0)", 0, "finalized\n"),
    "exit": ("sys.exit()", 0, "finalized\n"),
    "exit 7": ("sys.exit(7)", 7, ""),
    "exit 256 is 0": ("sys.exit(256)", 0, "finalized\n"),
    "text": ("sys.exit('wrong')", 1, ""),
    "builtin": ("exit(7)", 7, ""),
    "in a function": ("def main():\n    sys.exit(7)\nmain()", 7, ""),
    "in finally": ("try:\n    sys.exit(7)\nfinally:\n    print('finally')", 7, "finally\n"),
    "in with": ("with open('/dev/null'):\n    sys.exit(7)", 7, ""),
    "in a loop": ("while True:\n    sys.exit(7)", 7, ""),
    "by exec": ("exec('sys.exit(7)')", 7, ""),
    "caught": ("try:\n    sys.exit(7)\nexcept SystemExit:\n    print('on')", 0, "on\nfinalized\n"),
    "caught, same line": ("for code in (7, None):\n    try: sys.exit(code)\n    except SystemExit: print('on')", 0, "on\non\nfinalized\n"),
    "caught around exec": ("try:\n    exec('sys.exit(7)')\nexcept SystemExit:\n    print('on')", 0, "on\nfinalized\n"),
    "caught, then 0": ("try:\n    sys.exit(7)\nexcept SystemExit:\n    sys.exit(0)", 0, "finalized\n"),
    "of a thread": (
        "import threading\nthread = threading.Thread(target=sys.exit, args=[7])\nthread.start()\nthread.join()",
        0,
        "finalized\n",
    ),
    "exception": ("1 / 0", 1, ""),
    "interrupt": ("raise KeyboardInterrupt", 130, ""),
    "at exit": ("import atexit\natexit.register(print, 'at exit')\nsys.exit(7)", 7, "at exit\n"),
    "exception at exit": ("import atexit\natexit.register(print, 'at exit')\n1 / 0", 1, "at exit\n"),
    "unflushed": ("sys.stdout.write('no newline')\nsys.exit(7)", 7, "no newline"),
    "closed stdout": ("sys.stdout.close()\nsys.exit(7)", 7, ""),
}
if sys.version_info >= (3, 12):
    ENDS |= {
        "raised": ("raise SystemExit(7)", 7, ""),
        "raised by a function's result": ("def main():\n    return 7\nraise SystemExit(main())", 7, ""),
        "imported": ("from sys import exit\nexit(7)", 7, ""),
        "raised, 0": ("raise SystemExit(0)", 0, "finalized\n"),
    }


@pytest.mark.parametrize(("end", "status", "said"), ENDS.values(), ids=ENDS)
def test_failing_rank_does_not_finalize_and_others_do(rank: WatchedRank, end: str, status: int, said: str) -> None:
    rank.stage("mpi")
    rank.fake_mlx()
    done = rank.run(f"import sys\n{INIT}{end}\n")
    assert (done.returncode, done.stdout) == (status, said), done.stderr


def test_text_of_an_exit_and_a_traceback_are_printed_once(rank: WatchedRank) -> None:
    rank.stage("mpi")
    rank.fake_mlx()
    assert rank.run(f"import sys\n{INIT}sys.exit('wrong')\n").stderr == "wrong\n"
    assert rank.run(f"{INIT}1 / 0\n").stderr.count("ZeroDivisionError") == 1


def test_hook_of_the_program_for_exceptions_is_called(rank: WatchedRank) -> None:
    rank.stage("mpi")
    rank.fake_mlx()
    done = rank.run(f"import sys\nsys.excepthook = lambda kind, *_: print('theirs', kind.__name__)\n{INIT}1 / 0\n")
    assert (done.returncode, done.stdout) == (1, "theirs ZeroDivisionError\n")


def test_failure_before_mpi_is_up_ends_as_always(rank: WatchedRank) -> None:
    rank.stage("mpi")
    rank.fake_mlx()
    done = rank.run("import sys\nimport mlx.core\nmlx.core.group = mlx.core.Group(2)\nsys.exit(7)\n")
    assert (done.returncode, done.stdout) == (7, "finalized\n")


@pytest.mark.parametrize("backend", ["ring", "jaccl"])
def test_other_backends_end_as_always(rank: WatchedRank, backend: str) -> None:
    rank.stage(backend)
    rank.fake_mlx()
    done = rank.run(f"import sys\n{INIT}sys.exit(7)\n")
    assert (done.returncode, done.stdout) == (7, "finalized\n")


def test_module_run_as_a_program_ends_as_a_script_does(rank: WatchedRank) -> None:
    rank.stage("mpi")
    rank.fake_mlx()
    (rank.user / "package").mkdir()
    (rank.user / "package/__main__.py").write_text(f"import sys\n{INIT}with open('/dev/null'):\n    sys.exit(7)\n")
    done = rank.run("", "-m", "package")
    assert (done.returncode, done.stdout) == (7, ""), done.stderr


def test_signal_is_no_business_of_ours(rank: WatchedRank) -> None:
    rank.stage("mpi")
    rank.fake_mlx()
    done = rank.run(f"import os, signal\n{INIT}os.kill(os.getpid(), signal.SIGTERM)\n")
    assert done.returncode == -signal.SIGTERM
