import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archgym.inner.envs import dimensions
from archgym.inner.tasks import TASKS
from archgym.lookup import names
from archgym.observations import kind_of
from archgym.problem import Problem, find_space, spaces_that_take
from archgym.settings import Settings


def problem(**keywords: Any) -> Problem:
    return Problem(Settings.from_keywords(keywords))


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"task": "CartPole-v2"}, "unknown task 'CartPole-v2': expected one of .* Did you mean 'CartPole-v1'"),
        ({"task": "Cartpole"}, "unknown task 'Cartpole': expected one of .* Did you mean 'CartPole-v1'"),
        ({"task": "Pendulum-v1"}, "task 'Pendulum-v1': expected discrete actions"),
        ({"task": 1}, "task: expected a name, got 1"),
        (
            {"space": "mpl"},
            "unknown search space 'mpl': expected one of deep-kernels, .*mlp-wide, .* Did you mean 'mlp'",
        ),
        ({"space": "no.such.place"}, "unknown search space 'no.such.place': there is no module 'no' to import"),
        ({"space": "archgym.inner.tasks"}, "search space 'archgym.inner.tasks': expected a module that defines SPACE"),
        (
            {"space": "nature-kernels"},
            "space: expected one of mlp, mlp-wide, for task 'CartPole-v1' gives 4 numbers; got 'nature-kernels', which "
            "takes images",
        ),
        (
            {"task": "Orchard-v0"},
            "space: expected one of deep-kernels, mini-kernels, nature-kernels, for task 'Orchard-v0' gives images of "
            "3x10x10; got 'mlp', which takes vectors",
        ),
        ({"space": None}, "space: expected a name, got None"),
        ({"transfer": "share"}, "unknown transfer 'share': expected one of distil, .*shared. Did you mean 'shared'"),
        ({"reward": "returns"}, "unknown reward 'returns': .* Did you mean 'return'"),
        ({"windows": 0}, "windows: expected a positive integer, got 0"),
        ({"windows": 10**400}, r"windows: expected an integer below 2\*\*63, got 10{400}"),
        ({"horizon": 2**63}, r"horizon: expected an integer below 2\*\*63, got 9223372036854775808"),
        ({"evaluation_steps": 10**400}, r"evaluation_steps: expected an integer below 2\*\*63, got 10{400}"),
        ({"reset_layers": 10**400}, r"reset_layers: expected an integer below 2\*\*63, got 10{400}"),
        ({"random_return": 10**400}, "random_return: expected a finite number, got 10{400}"),
        ({"cost_weight": 10**400}, "cost_weight: expected a number of at least 0, got 10{400}"),
        ({"replay_keep": 10**400}, "replay_keep: expected a number from 0 to 1, got 10{400}"),
        ({"windows": -3}, "windows: expected a positive integer, got -3"),
        ({"windows": 2.0}, r"windows: expected a positive integer, got 2\.0"),
        ({"windows": "24"}, "windows: expected a positive integer, got '24'"),
        ({"windows": True}, "windows: expected a positive integer, got True"),
        ({"windows": None}, "windows: expected a positive integer, got None"),
        ({"windows": np.float64(3)}, r"windows: expected a positive integer, got 3\.0"),
        ({"window_steps": 0}, "window_steps: expected a positive integer, got 0"),
        ({"window_steps": 100.5}, r"window_steps: expected a positive integer, got 100\.5"),
        ({"horizon": 0}, "horizon: expected a positive integer, got 0"),
        ({"envs_per_member": 0}, "envs_per_member: expected a positive integer, got 0"),
        ({"evaluation_episodes": -1}, "evaluation_episodes: expected a positive integer, got -1"),
        ({"max_params": 0}, "max_params: expected a positive integer, got 0"),
        ({"max_params": 1281}, r"max_params: expected at least 1282 \(the smallest network of 'mlp' on this task\)"),
        ({"window_steps": 3}, r"window_steps: expected a multiple of envs_per_member \(4\).*got 3\. Nearest: 4"),
        ({"window_steps": 2502}, r"expected a multiple of envs_per_member \(4\).*got 2502\. Nearest: 2504"),
        ({"window_steps": 7, "envs_per_member": 8}, r"at least one; got 7\. Nearest: 8"),
        ({"cost_weight": -0.1}, r"cost_weight: expected a number of at least 0, got -0\.1"),
        ({"cost_weight": "much"}, "cost_weight: expected a number of at least 0, got 'much'"),
        ({"cost_weight": float("nan")}, "cost_weight: expected a number of at least 0, got nan"),
        ({"random_return": float("nan")}, "random_return: expected a finite number, got nan"),
        ({"reference_return": float("inf")}, "reference_return: expected a finite number, got inf"),
        ({"reference_return": "best"}, "reference_return: expected a finite number, got 'best'"),
        ({"reference_return": 22.3}, r"expected a value above random_return \(22\.3\), got 22\.3"),
        ({"random_return": 480.0}, r"expected a value above random_return \(480\.0\), got 475\.0"),
        ({"exact": "no"}, "exact: expected True or False, got 'no'"),
        ({"layer_norm": 1}, "layer_norm: expected True or False, got 1"),
        ({"device": 0}, "device: expected a name, got 0"),
        ({"trainer": None}, "trainer: expected a name, got None"),
        ({"preset": 1}, "preset: expected a name, got 1"),
        ({"paper": ["nas-dqn"]}, r"paper: expected a name, got \['nas-dqn'\]"),
        ({"table": ["auto"]}, r"table: expected a name, got \['auto'\]"),
        ({"trainer_settings": 3}, r"trainer_settings: expected settings by name \(a dict\), got 3"),
        ({"space": "."}, "unknown search space '.': expected one of"),
        ({"space": ".mlp"}, "unknown search space '.mlp': expected one of .* Did you mean 'mlp'"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_was_expected(keywords: Mapping[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        problem(**keywords)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_the_defaults_suit_every_task_of_the_table(name: str) -> None:
    kind = kind_of(dimensions(TASKS[name])[0])
    made = problem(task=name, space=spaces_that_take(kind)[0])
    task = TASKS[name].in_search()
    assert made.task == task
    assert made.window_steps % made.settings.envs_per_member == 0
    assert made.window_steps >= 1.25 * task.episode_limit * made.settings.envs_per_member
    assert (made.normalise(task.random_return), made.normalise(task.reference_return)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("keywords", "steps"),
    [
        ({}, 2500),  # 4 environments x 500 steps, and a quarter more
        ({"windows": 100}, 2500),
        ({"envs_per_member": 1}, 625),
        ({"envs_per_member": 3}, 1875),
        ({"envs_per_member": 7, "task": "MountainCar-v0"}, 1750),
        ({"task": "MountainCar-v0"}, 1000),
        ({"window_steps": 400}, 400),
        ({"window_steps": 3, "envs_per_member": 3}, 3),
    ],
)
def test_a_window_lets_every_environment_finish_an_episode_unless_told_otherwise(
    keywords: Mapping[str, Any], steps: int
) -> None:
    made = problem(**keywords)
    assert made.window_steps == steps
    assert (made.window_steps >= made.full_window_steps) == ("window_steps" not in keywords)


def test_a_learner_lives_for_the_lifetime_or_where_nothing_is_inherited_for_a_window() -> None:
    horizons = [
        problem(windows=5, window_steps=400, transfer=transfer).horizon for transfer in ("shared", "own", "fresh")
    ]
    assert horizons == [2000, 2000, 400]
    assert problem(windows=5, window_steps=400, horizon=900).horizon == 900


def test_references_can_be_replaced_one_by_one() -> None:
    assert problem(random_return=0).normalise(475.0) == 1.0
    made = problem(reference_return=122.3)
    assert (made.random_return, made.normalise(72.3)) == (22.3, pytest.approx(0.5))


def test_a_limit_of_parameters_narrows_the_space_for_this_task() -> None:
    made = problem(max_params=5000)
    sizes = [made.space.network_of(one).parameters(4, 2) for one in made.space.enumerate()]
    assert max(sizes) <= 5000
    assert 3 <= len(sizes) < 27
    assert made.space.network_of(made.space.default_architecture).parameters(4, 2) <= 5000
    assert problem().space.size == 27, "the space itself is as it was"


def test_keywords_are_sorted_into_settings_and_those_of_the_trainer() -> None:
    made = Settings.from_keywords({"windows": 3, "learning_rate": 1e-2, "trainer_settings": {"gamma": 0.9}})
    assert made == Settings(windows=3, trainer_settings={"learning_rate": 1e-2, "gamma": 0.9})
    assert Settings.from_keywords({}) == Settings()


def test_settings_survive_json_also_when_they_came_as_numbers_of_numpy() -> None:
    given = {"windows": np.int64(3), "window_steps": np.int32(400), "cost_weight": np.float32(0.5), "exact": np.True_}
    made = Settings.from_keywords({**given, "batch_size": np.int64(32), "learning_rate": np.float64(1e-3)})
    assert Settings.from_keywords(json.loads(json.dumps(made.to_dict()))) == made
    assert made == Settings(
        windows=3,
        window_steps=400,
        cost_weight=0.5,
        exact=True,
        trainer_settings={"batch_size": 32, "learning_rate": 1e-3},
    )


def test_a_space_of_somebody_else_works_by_its_dotted_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "from dataclasses import replace\nfrom archgym.search_spaces.mlp import SPACE\n"
    (tmp_path / "mylab_conv.py").write_text(text + "SPACE = replace(SPACE, name='mylab')\n")
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab" / "spaces.py").write_text("from mylab_conv import SPACE\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert problem(space="mylab.spaces").space.name == "mylab"
    assert not {"mylab", "mylab.spaces"} - set(sys.modules)


def test_the_bundled_spaces_are_listed() -> None:
    assert {"grid", "mlp", "mlp-wide"} <= set(names("archgym.search_spaces"))
    for name in names("archgym.search_spaces"):
        task = "CartPole-v1" if "vectors" in find_space(name).takes else "Orchard-v0"
        assert problem(space=name, task=task).space.name == name


def test_layer_norm_stands_in_every_network_whatever_the_space_says() -> None:
    for name, size in (("mlp", 27), ("mlp-wide", 2028)):
        plain, normed = problem(space=name).space, problem(space=name, layer_norm=True).space
        assert normed.size == size
        rng = np.random.default_rng(0)
        for architecture in [normed.default_architecture, *(normed.sample(rng) for _ in range(20))]:
            network: Any = normed.network_of(architecture)
            expected: Any = plain.network_of(architecture)
            assert network == replace(expected, layer_norm=True)
            assert network.parameters(4, 2) == expected.parameters(4, 2) + 2 * sum(network.hidden)
            assert "layer_norm" not in normed.label(architecture)
            np.testing.assert_array_equal(normed.parse(normed.label(architecture)), architecture)


def test_a_choice_of_layer_norm_has_no_effect_where_all_networks_have_it() -> None:
    plain, normed = problem(space="mlp-wide").space, problem(space="mlp-wide", layer_norm=True).space
    position = [choice.name for choice in plain.choices].index("layer_norm")
    chosen = plain.parse("depth=2 width_1=16 width_2=32 activation=elu layer_norm=True skip=False")
    assert chosen[position] == 1
    same = normed.canonical(chosen)
    assert same[position] == 0
    assert normed.network_of(same) == plain.network_of(chosen)
    assert normed.mask(same[:position].tolist()).tolist() == [1, 0]
    assert problem(space="mlp-wide").space.size == 4056, "the space itself is as it was"


def test_a_limit_of_parameters_counts_the_layer_norms() -> None:
    with pytest.raises(ValueError, match="max_params: expected at least 1410"):  # 2 x 32 units; 1,282 without them
        problem(max_params=1409, layer_norm=True)
    assert problem(max_params=1410, layer_norm=True).space.size == 3


def test_layer_norm_is_refused_for_networks_that_cannot_have_it() -> None:
    with pytest.raises(ValueError, match=r"layer_norm: expected a search space whose networks can .* got 'grid'"):
        problem(space="grid", layer_norm=True)
