"""The errors of a launch stand for an exit status each."""

from __future__ import annotations

import pickle

import pytest

from ansible_collections.mlxlaunch.cluster.plugins.plugin_utils.job.errors import (
    LaunchError,
    UsageError,
    naming_options,
    option_name,
)


@pytest.mark.parametrize(("error", "status"), [(LaunchError, 1), (UsageError, 2)])
def test_exit_status_of_an_error(error: type[LaunchError], status: int) -> None:
    with pytest.raises(LaunchError, match="^no such group$") as caught:
        raise error("no such group")
    assert caught.value.returncode == status


def test_option_has_the_name_by_which_it_comes_in() -> None:
    assert option_name("--keep", "mlx_keep") == "--keep"
    with pytest.raises(UsageError), naming_options(by_flag=False):
        raise UsageError(option_name("--keep", "mlx_keep"))
    assert option_name("--keep", "mlx_keep") == "--keep"
    with naming_options(by_flag=True):
        assert option_name("--keep", "mlx_keep") == "--keep"


class Lost(LaunchError):
    """An error whose text is not what it is made of."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} is lost")
        self.host = host


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_error_comes_whole_from_another_process(protocol: int) -> None:
    again = pickle.loads(pickle.dumps(Lost("mac-1"), protocol))  # noqa: S301 - of our own
    assert (type(again), str(again), again.host) == (Lost, "mac-1 is lost", "mac-1")
