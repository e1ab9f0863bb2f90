# Copyright (c) the mlxlaunch-ansible contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ansible-playbook`, a quarter faster: for a process that lives for one play, garbage collection only costs.

Measured with ansible-core 2.19 and a job of one local rank, median of 10: 0.74 s, and 0.58 s this way.

The first argument is a directory for multiprocessing's files: the socket by which workers of ansible-core 2.21 reach
this process. In the user's temporary directory it would stay when this process is killed. The second is the directory
that has our collection. The third has, as JSON, the questions that will be answered.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import gc
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_UTF_8 = ("C.UTF-8", "en_US.UTF-8")  # the first is Linux's, and a recent Mac's
_OURS = "mlxlaunch.cluster.mlx_hostfile"
_YAML = {"yaml", "ansible.builtin.yaml"}
HOSTS = "hosts"  # in the private directory: an inventory that the launching program has made; so named it is YAML to all
WORDS = "words"  # in the private directory: words for ansible-playbook that no process list should have, as JSON
SURROUNDINGS = "surroundings"  # in the private directory: variables and a working directory that are not UTF-8, as JSON
ASKED = "asked"  # in the private directory: the question that nobody answers
_EXTENSIONS = (".yml", ".json")  # of our roles, and of an inventory that the launching program writes

#: What ansible.cfg and the environment say about any play, and what has no meaning for ours: setting, value, reason.
#: Keywords of a play are in our playbooks, where they count for ansible-playbook too.
SETTLED: tuple[tuple[str, object, str], ...] = (
    ("DEFAULT_ASK_PASS", False, "a password is given by -k; a host that wants one says so"),
    ("DEFAULT_BECOME_ASK_PASS", False, "a password is given by -K; a host that wants one says so"),
    ("TAGS_RUN", [], "our plays have no tags; the user's would leave out all that they do"),
    ("TAGS_SKIP", [], "the same"),
    ("DIFF_ALWAYS", False, "nobody sees the differences, and files would be read for them"),
    ("HOST_PATTERN_MISMATCH", "warning", "the action says which groups there are, and a warning which hosts are not"),
    ("ANSIBLE_NOCOWS", True, "nobody sees the cow, and each would be a process"),
)


def main() -> None:
    """Run ansible-playbook's own entry point with this process's arguments, and exit without tidying up memory."""
    gc.disable()
    _take_surroundings(sys.argv[1])
    _keep_ignored()
    _keep_in(sys.argv[1])
    life = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    life.connect(f"{sys.argv[1]}/e")  # whoever started this learns by it when this process and its workers are gone
    if not os.environ.get("ANSIBLE_HOST_KEY_CHECKING"):
        os.environ.pop("ANSIBLE_HOST_KEY_CHECKING", None)
    _ask_only(json.loads(sys.argv[3]), sys.argv[1])
    _read_nothing()
    with _speaking_utf8():
        _settle()  # before the import of Ansible's command line, which reads its settings
        from ansible.cli.playbook import main as playbook

    _own_collection_first(sys.argv[2])
    _read_hostfiles()
    _read_our_files()
    code: object = 0
    try:
        playbook(["ansible-playbook", *_once(Path(sys.argv[1], WORDS)), *sys.argv[4:]])
    except SystemExit as exc:
        code = exc.code
    # What Ansible wants done at exit (it removes temporary files there), and then no more.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1 if code else 0)


def _settle() -> None:
    """Let the user's settings count but for those that have no meaning here."""
    from ansible import constants

    for name, value, _reason in SETTLED:
        setattr(constants, name, value)


def _ask_only(answered: list[str], folder: str) -> None:
    """Let Ansible ask the questions that will be answered. Any other one ends it, as nobody sees it or could answer."""
    import getpass  # late, as in `_keep_in`

    ask = getpass.getpass

    def answer(prompt: object = "", _stream: object = None) -> str:
        if prompt in answered:
            return ask(str(prompt))
        Path(folder, ASKED).write_text(str(prompt), encoding="utf-8")
        raise SystemExit(1)

    getpass.getpass = answer  # type: ignore[assignment]
    builtins.input = answer


def _take_surroundings(folder: str) -> None:
    """Take the variables and the working directory that ansible-runner could not give to this process."""
    path = Path(folder, SURROUNDINGS)
    if path.exists():
        found = _once(path)
        os.environ |= found["environment"]
        os.chdir(found["cwd"])


def _read_nothing() -> None:
    """Let standard input be at its end for programs that Ansible runs for a password: here, nobody would type.

    Questions that are answered are asked on the pseudo terminal itself, /dev/tty.
    """
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _once(path: Path) -> Any:
    """Return the content of a JSON file, and remove the file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    return content


def _keep_ignored() -> None:
    """Let signals stay ignored that are so under nohup or a script's `&`: Ansible would put handlers in their place."""
    ignored = {number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_IGN}
    handle = signal.signal
    if ignored:
        vars(signal)["signal"] = lambda number, handler: signal.SIG_IGN if number in ignored else handle(number, handler)


@contextlib.contextmanager
def _speaking_utf8() -> Iterator[None]:
    """Let Ansible start where the user's locale is not UTF-8, or missing. Hosts and ranks get the user's own."""
    import locale

    given = os.environ.get("LC_ALL")
    for name in ("", *_UTF_8):
        with contextlib.suppress(locale.Error, ValueError):
            locale.setlocale(locale.LC_ALL, name)
            if (locale.getlocale()[1] or "").lower() in ("utf-8", "utf8"):
                os.environ |= {"LC_ALL": name} if name else {}
                break
    yield
    if given is None:
        os.environ.pop("LC_ALL", None)
    else:
        os.environ["LC_ALL"] = given


def _own_collection_first(root: str) -> None:
    """Let Ansible find the collection that came with this package, and not one that lies in the user's directories."""
    from ansible import constants

    constants.COLLECTIONS_PATHS = [root, *constants.COLLECTIONS_PATHS]
    os.environ["ANSIBLE_COLLECTIONS_PATH"] = os.pathsep.join(constants.COLLECTIONS_PATHS)


def _read_hostfiles() -> None:
    """Enable the plugin for MLX hostfiles in an inventory, also in a directory of several, against ansible.cfg too.

    The environment is stronger: there a program of ours, with an inventory of its own, or the user names the plugins.
    """
    from ansible import constants

    if "ANSIBLE_INVENTORY_ENABLED" not in os.environ and _OURS not in constants.INVENTORY_ENABLED:
        constants.INVENTORY_ENABLED = [_OURS, *constants.INVENTORY_ENABLED]
    if Path(sys.argv[1], HOSTS).exists() and not _YAML & {*constants.INVENTORY_ENABLED}:
        constants.INVENTORY_ENABLED = [*constants.INVENTORY_ENABLED, "yaml"]


def _read_our_files() -> None:
    """Let the files of our roles count as YAML, whatever names the user gives such files."""
    from ansible import constants

    known = constants.YAML_FILENAME_EXTENSIONS
    missing = [extension for extension in _EXTENSIONS if extension not in known]
    if missing:
        constants.YAML_FILENAME_EXTENSIONS = [*known, *missing]
        os.environ["ANSIBLE_YAML_FILENAME_EXT"] = ",".join(constants.YAML_FILENAME_EXTENSIONS)


def _keep_in(folder: str) -> None:
    """Make multiprocessing's directory there; only that one, for all else the user's choice of a place stands."""
    from multiprocessing import util  # late: the launching program, which imports this module for its constants, needs none

    before, tempfile.tempdir = tempfile.tempdir, folder
    util.get_temp_dir()
    tempfile.tempdir = before


if __name__ == "__main__":
    main()
