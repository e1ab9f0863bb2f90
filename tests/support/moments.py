"""The moments at which a program looks at files, each of which can be the one in which somebody changes them."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

_CALLS = ((os, "scandir"), (os, "lstat"), (os, "stat"), (os, "readlink"), (os, "open"), (builtins, "open"))


class Moments:
    """Counts the looks at a path, and at what is above and below it, and does something before one of them.

    Args:
        folder: the directory below which it counts.
        path: the path there.
        at: number of that look, from 1; none for 0.
        act: is called then.

    Attributes:
        count: looks so far.
    """

    def __init__(self, folder: Path, path: str, at: int = 0, act: Callable[[], object] = lambda: None) -> None:
        self.count = 0
        self._folder = folder
        self._path = folder / path
        self._at = at
        self._act = act
        self._acting = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Count from here on."""
        with ExitStack() as patches:
            for module, name in _CALLS:
                patches.enter_context(mock.patch.object(module, name, self._wrap(getattr(module, name))))
            yield

    def _wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def looked(path: Any, *args: Any, **options: Any) -> Any:
            if not self._acting and not isinstance(path, int):
                self._look(Path(os.fsdecode(path)))
            return function(path, *args, **options)

        return looked

    def _look(self, path: Path) -> None:
        if not path.is_relative_to(self._folder) or not (path.is_relative_to(self._path) or self._path.is_relative_to(path)):
            return
        self.count += 1
        if self.count == self._at:
            self._acting = True
            try:
                self._act()
            finally:
                self._acting = False
