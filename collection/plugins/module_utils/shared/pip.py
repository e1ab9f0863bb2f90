# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command lines of pip and uv, and the meaning of their complaints. Pure.

Used on the hosts, which build environments, and on the controller, which fills wheelhouses.
"""

from __future__ import annotations

import re

from ansible_collections.mlxlaunch.cluster.plugins.module_utils.shared.credentials import without_credentials

_SEPARATORS = re.compile(r"[-_.]+")
_LAST_LINES = 6  # of a failure nobody recognises
_NOISE = re.compile(r"^\s*$|^(?:\[notice\]|WARNING: (?:You are using pip|There was an error checking))")

_NO_WHEEL = "there is no wheel of {0} for {where}; if it has only its source, build a wheel, and lock again with --find-links to it"
_LOCAL_VERSION = "; a version with a + is on an index of its own: name it in the lock (--extra-index-url) or with mlx_index_url"

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
    (r"No matching distribution found for ([^\s;]+)", _NO_WHEEL),
    (
        r"(?s)there(?:'s| is) no version of ([A-Za-z0-9][\w.-]*==[^\s,]+)",
        _NO_WHEEL,
    ),
    (
        r"(?s)([A-Za-z0-9][\w.-]*==[^\s,]+)\s+has\s+no\s+(?:wheels\s+with\s+a\s+matching|usable\s+wheels|wheels\s+are)",
        _NO_WHEEL,
    ),
    (r"(?s)Because ([A-Za-z0-9][\w.-]*) was\s+not\s+found", _NO_WHEEL),
    (r"have their versions pinned with ==[^\n]*\n\s+([^\s(]+)", "the lock does not pin {0}; lock again"),
)


def canonical_name(name):
    """Return the name of a distribution as all its spellings are compared (PEP 503)."""
    return _SEPARATORS.sub("-", name).lower()


def explain(text, where):
    """Return why pip or uv failed: the cause when it is known, and their last lines.

    Args:
        text: all they printed; addresses in it lose their credentials.
        where: the platform, as a message calls it.
    """
    text = without_credentials(text)
    lines = [line.rstrip() for line in text.splitlines() if not _NOISE.match(line)]
    tail = "\n".join(lines[-_LAST_LINES:])
    cause = _cause(text, where)
    return "\n".join(part for part in (cause, tail) if part) or "it said nothing"


def _cause(text, where):
    for pattern, meaning in _CAUSES:
        match = re.search(pattern, text, re.MULTILINE)
        if match:
            name = match.group(1) if match.groups() else ""
            more = _LOCAL_VERSION if meaning is _NO_WHEEL and "+" in name else ""
            return meaning.replace("{0}", name).replace("{where}", where) + more
    return ""


def describe_platform(platform, version):
    """Return a platform as a message calls it: Darwin arm64 (14.5) with Python 3.12.4."""
    release = " ".join(part for part in (platform.get("libc", ""), platform.get("release", "")) if part)
    return "%s %s%s with Python %s" % (platform["system"], platform["machine"], " (%s)" % release if release else "", version)


def sources(wheels, index_url, options, isolated):
    """Return the arguments that name the origin of wheels; addresses go by `source_variables`.

    Args:
        wheels: a directory that has all of them, or "".
        index_url: an index instead of the configured ones, or "".
        options: the lock's own options about indexes, which an index_url replaces.
        isolated: what keeps this program from its own configuration; with a wheelhouse that has nothing to say.
    """
    if wheels:
        return [*isolated, "--no-index", "--find-links", wheels]
    return [word for option in _pairs(index_url, options) if not _is_address(option) for word in option]


# How to reach an index, which an install takes from the configuration of pip and uv. Nothing else counts: a target, a
# constraint or a switch for dry runs is there for other work, and would lead this install elsewhere.
_REACH = (
    *("trusted-host", "proxy", "cert", "client-cert", "timeout", "retries", "cache-dir", "no-cache-dir", "keyring-provider"),
    *("use-feature", "use-deprecated"),
)
_ORIGINS = ("index-url", "extra-index-url", "find-links", "no-index")
_UV_REACH = (
    *("UV_CACHE_DIR", "UV_NO_CACHE", "UV_KEYRING_PROVIDER", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_INSECURE_HOST"),
    *("UV_HTTP_TIMEOUT", "UV_REQUEST_TIMEOUT", "UV_HTTP_RETRIES", "UV_CONCURRENT_DOWNLOADS", "UV_CREDENTIALS_DIR"),
)
_UV_ORIGINS = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX")
_UV_CREDENTIALS = re.compile(r"UV_INDEX_\w+_(?:USERNAME|PASSWORD)$")


def _variable(option):
    return "PIP_" + option.upper().replace("-", "_")


def config_files(environ, home, prefix, system):
    """Return the paths where pip looks for its configuration, the most important last.

    `pip config list` would name them, but an option such as `user` in one of them changes what it lists.

    Args:
        environ, home: variables and home of whoever runs pip.
        prefix: the environment of pip, which may have its own.
        system: Darwin or Linux.
    """
    chosen = environ.get("PIP_CONFIG_FILE", "")
    if chosen == "/dev/null":
        return []
    xdg = [folder + "/pip/pip.conf" for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if folder]
    everyone = ["/Library/Application Support/pip/pip.conf"] if system == "Darwin" else [*reversed(xdg), "/etc/pip.conf"]
    own = [home + "/.pip/pip.conf", environ.get("XDG_CONFIG_HOME", home + "/.config") + "/pip/pip.conf"]
    if system == "Darwin":
        own.append(home + "/Library/Application Support/pip/pip.conf")
    return [*everyone, *([] if chosen else own), prefix + "/pip.conf", *([chosen] if chosen else [])]


def configured(texts, command):
    """Return pip's variables for what its configuration files say of the way to an index.

    Args:
        texts: their contents, the most important last; those that pip could not read either count for nothing.
        command: the command of pip whose section counts, such as install.
    """
    import configparser  # most runs install nothing

    found = {}
    for section in ("global", command):  # a command's own section replaces the other, whatever file it is in
        for text in texts:
            parser = configparser.RawConfigParser()
            try:
                parser.read_string(text)
            except configparser.Error:
                continue
            for option, value in parser.items(section) if parser.has_section(section) else ():
                if option.replace("_", "-") in _REACH + _ORIGINS:
                    found[_variable(option)] = value
    return found


def variables(inherited, of_files, wheels, index_url, options):
    """Return the variables for pip and uv: of their configuration, only how to reach an index.

    Args:
        inherited: of this process.
        of_files: the same from configuration files, as variables.
        wheels, index_url, options: as for `sources`.
    """
    names = {*map(_variable, _REACH), *_UV_REACH}
    if not (wheels or index_url):
        names |= {*map(_variable, _ORIGINS), *_UV_ORIGINS}
        if options:
            names -= {"PIP_NO_INDEX", "UV_NO_INDEX"}
    own = {name: value for name, value in inherited.items() if not name.startswith(("PIP_", "UV_"))}
    settings = {**of_files, **inherited}
    own.update({name: value for name, value in settings.items() if name in names or (not wheels and _UV_CREDENTIALS.match(name))})
    return dict(own, PIP_CONFIG_FILE="/dev/null", **({} if wheels else source_variables(index_url, options)))


def source_variables(index_url, options):
    """Return the variables that name the origin of wheels to pip and uv.

    Every user of a machine can read a command line, and an address may have a password in it.

    Args:
        index_url, options: as for `sources`.
    """
    found = {}
    for option in _pairs(index_url, options):
        if _is_address(option):
            found.setdefault(option[0], []).append(option[1])
    variables = {}
    for option, names in _VARIABLES.items():
        for name, separator in names if option in found else ():
            # A later --index-url replaces an earlier one; the others add up.
            addresses = found[option][-1:] if separator is None else found[option]
            variables[name] = (separator or "").join(address.replace(",", "%2C") if separator == "," else address for address in addresses)
    return variables


# By option, the variables of pip and uv, and what separates several addresses; None for an option that takes one.
# UV_INDEX_URL is for uv before 0.4.23, which does not know the newer name.
_VARIABLES = {
    "--index-url": (("PIP_INDEX_URL", None), ("UV_INDEX_URL", None), ("UV_DEFAULT_INDEX", None)),
    "--extra-index-url": (("PIP_EXTRA_INDEX_URL", " "), ("UV_EXTRA_INDEX_URL", " ")),
    "--find-links": (("PIP_FIND_LINKS", " "), ("UV_FIND_LINKS", ",")),
}


def _pairs(index_url, options):
    """Return the options about indexes, each as a list of its name and, where it takes one, its value."""
    if index_url:
        return [["--index-url", index_url]]
    pairs = []
    for word in options:
        if word.startswith("--"):
            pairs.append([word])
        else:
            pairs[-1].append(word)
    return pairs


def _is_address(option):
    """Return whether an option names an address; a directory has no credentials, and perhaps blanks."""
    return option[0] in _VARIABLES and len(option) == 2 and (option[0] != "--find-links" or "://" in option[1])


def pip(python):
    """Return how an environment's own pip is started."""
    return [python, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]


def complaints(text):
    """Return the lines of `pip check` or `uv pip check` that name an unmet requirement."""
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
        # All is pinned and hashed, so it does not matter which index has it; without this, only the first one that
        # knows the name is asked.
        *("--no-config", "--index-strategy", "unsafe-best-match", "--compile-bytecode", "--link-mode", link_mode),
        *where_from,
        *("--requirement", lock),
    ]
