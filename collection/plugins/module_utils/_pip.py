# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private to this collection: what is said to pip and uv, and what their complaints mean. Pure.

Used on the hosts, which build environments, and on the controller, which fills wheelhouses.
"""

from __future__ import annotations

import re

_LAST_LINES = 6  # of a failure nobody recognises
_NOISE = re.compile(r"^\s*$|^(?:\[notice\]|WARNING: (?:You are using pip|There was an error checking))")

# (what to look for, what it means); {0} is the first group that matched. The first that fits tells the cause.
_CAUSES = (
    (r"No space left on device|\[Errno 28\]|os error 28\b", "the disk is full"),
    (r"Read-only file system|\[Errno 30\]|os error 30\b", "the file system is read-only"),
    (r"Permission denied|\[Errno 13\]|os error 13\b", "permission denied"),
    (
        r"ensurepip is not\s+available|No module named '?(?:ensurepip|venv)",
        "this Python cannot make environments; install its venv package, or uv",
    ),
    (
        r"(?s)DO NOT MATCH THE HASHES.*?^\s*([A-Za-z0-9][\w.-]*==[^\s]+)[^\n]*\n\s+Expected",
        "what the index has as {0} has none of the lock's hashes: it was changed since, or the lock lacks this platform's wheel",
    ),
    (r"(?s)Hash mismatch for `([^`]+)`", "what the index has as {0} has none of the lock's hashes: it was changed since"),
    (r"DO NOT MATCH THE HASHES", "a wheel has none of the lock's hashes"),
    (
        r"Temporary failure in name resolution|nodename nor servname|Name or service not known|dns error|failed to lookup address",
        "the index cannot be reached: no name resolution; without internet, use a wheelhouse",
    ),
    (
        r"Network is unreachable|Connection refused|NewConnectionError|ConnectTimeout|timed out|error sending request|tcp connect error",
        "the index cannot be reached; without internet, use a wheelhouse",
    ),
    (r"CERTIFICATE_VERIFY_FAILED|invalid peer certificate|UnknownIssuer", "the index's certificate is not trusted"),
    (r"No matching distribution found for ([^\s;]+)", "there is no wheel of {0} for {where}"),
    (
        r"(?s)there(?:'s| is) no version of ([A-Za-z0-9][\w.-]*==[^\s,]+)",
        "there is no wheel of {0} for {where}",
    ),
    (
        r"(?s)([A-Za-z0-9][\w.-]*==[^\s,]+)\s+has\s+no\s+(?:wheels\s+with\s+a\s+matching|usable\s+wheels|wheels\s+are)",
        "there is no wheel of {0} for {where}",
    ),
    (r"(?s)Because ([A-Za-z0-9][\w.-]*) was\s+not\s+found", "there is no wheel of {0} for {where}"),
    (r"have their versions pinned with ==[^\n]*\n\s+([^\s(]+)", "the lock does not pin {0}; lock again"),
)


def explain(text, where):
    """Return why pip or uv failed: the cause when it is known, and their last lines.

    Args:
        text: all they printed.
        where: the platform, as a message calls it.
    """
    lines = [line.rstrip() for line in text.splitlines() if not _NOISE.match(line)]
    tail = "\n".join(lines[-_LAST_LINES:])
    cause = _cause(text, where)
    return "\n".join(part for part in (cause, tail) if part) or "it said nothing"


def _cause(text, where):
    for pattern, meaning in _CAUSES:
        match = re.search(pattern, text, re.MULTILINE)
        if match:
            return meaning.replace("{0}", match.group(1) if match.groups() else "").replace("{where}", where)
    return ""


def describe_platform(platform, version):
    """Return a platform as a message calls it: Darwin arm64 (14.5) with Python 3.12.4."""
    release = " ".join(part for part in (platform.get("libc", ""), platform.get("release", "")) if part)
    return "%s %s%s with Python %s" % (platform["system"], platform["machine"], " (%s)" % release if release else "", version)


def sources(wheels, index_url, options, isolated):
    """Return the arguments that say where wheels come from.

    Args:
        wheels: a directory that has all of them, or "".
        index_url: an index instead of the configured ones, or "".
        options: the lock's own options about indexes, which an index_url replaces.
        isolated: what keeps this program from its own configuration; with a wheelhouse that has nothing to say.
    """
    if wheels:
        return [*isolated, "--no-index", "--find-links", wheels]
    return ["--index-url", index_url] if index_url else list(options)


def pip(python):
    """Return how an environment's own pip is started."""
    return [python, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]


def complaints(text):
    """Return the lines of `pip check` or `uv pip check` that tell of a requirement nothing fulfils."""
    return [line.strip() for line in text.splitlines() if re.search(r"\brequire(?:s|ment)\b|not supported", line)]


def pip_install(python, lock, where_from):
    """Return the command by which an environment's own pip installs a lock."""
    # A lock names everything, so --no-deps: its author may have overridden what a package claims to need.
    return [
        *(*pip(python), "install", "--progress-bar", "off", "--retries", "2"),
        *("--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-warn-script-location"),
        *where_from,
        *("--requirement", lock),
    ]


def uv_install(uv, python, lock, where_from, link_mode):
    """Return the command by which uv installs a lock into the environment of `python`."""
    return [
        *(uv, "pip", "install", "--no-progress", "--python", python, "--require-hashes", "--no-deps", "--only-binary", ":all:"),
        *("--compile-bytecode", "--link-mode", link_mode),
        *where_from,
        *("--requirement", lock),
    ]
