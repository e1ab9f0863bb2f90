"""Words that somebody may have meant."""

from __future__ import annotations

import pytest

from mlxlaunch_ansible import UsageError
from mlxlaunch_ansible.commands.suggestions import check_variables, did_you_mean, suggestion

KNOWN = ("--backend", "--hosts", "--hostfile", "--env")


@pytest.mark.parametrize(("word", "meant"), [("--bakend", "--backend"), ("--hostfiel", "--hostfile"), ("--colour", None), ("", None)])
def test_suggestion_is_the_word_most_like_it(word: str, meant: str | None) -> None:
    assert suggestion(word, KNOWN) == meant


def test_every_mistake_of_a_line_has_its_word() -> None:
    assert did_you_mean(["--bakend", "--xyz", "--envv"], KNOWN) == "; did you mean --backend, --env?"
    assert did_you_mean(["--xyz"], KNOWN) == ""


@pytest.mark.parametrize("name", ["mlx_backend", "mlx_slots", "mlx_hostfile", "mlx_model_path", "model", "ansible_user"])
def test_variable_of_ours_or_of_the_user_is_none_of_our_business(name: str) -> None:
    check_variables([name])


@pytest.mark.parametrize(("name", "meant"), [("mlx_bakend", "mlx_backend"), ("mlx_envs", "mlx_env"), ("mlx_slot", "mlx_slots")])
def test_misspelled_variable_is_refused(name: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"-e {name}: there is no such variable; did you mean {meant}\\?"):
        check_variables([name])
