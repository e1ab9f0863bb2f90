# Copyright (c) the mlxlaunch-ansible contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON as the module `json` has it, from the part of that which is written in C.

The rest of `json` needs `re`, which costs a host's program more at its start than all that it does then.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SPACE = " \t\n\r"


class _Strict:
    """How to read: as `json.loads` does it without options."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_int = int
    parse_float = parse_constant = float  # NaN and the infinities have their names in JSON


try:
    import _json

    _read = _json.make_scanner(_Strict)
    _write = _json.make_encoder(None, None, _json.encode_basestring_ascii, None, ": ", ", ", False, False, True)
except (ImportError, AttributeError, TypeError):  # a Python other than CPython, or one in which these are others
    import json

    loads, dumps = json.loads, json.dumps
else:

    def loads(text: str) -> Any:
        """Return the object that a JSON text encodes.

        Raises:
            ValueError: it is no JSON.
            RecursionError: it is nested too deep.
        """
        text = text.strip(_SPACE)
        try:
            value, end = _read(text, 0)
        except StopIteration as exc:
            raise ValueError("no value at character %s" % exc.value) from None
        except SystemError:  # some Pythons' C has no error to raise while nobody has imported json.decoder
            import json

            return json.loads(text)
        if end != len(text):
            raise ValueError("more than one value, at character %d" % end)
        return value

    def dumps(value: Any) -> str:
        """Return the JSON text of an object.

        Raises:
            TypeError: a part of it is nothing that JSON has.
        """
        return "".join(_write(value, 0))
