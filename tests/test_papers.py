"""A paper's experiment is its task, space and settings; what is given goes before, and what does not fit is refused."""

import json
from typing import Any

import gymnasium as gym
import pytest

import archgym  # noqa: F401  (registers the ids)
from archgym import lookup, papers
from archgym.__main__ import main
from archgym.agents import ppo, random_search
from archgym.problem import Problem
from archgym.running.launch import parse
from archgym.settings import Settings
from archgym.studies import one_shot


def of(env_id: str, **keywords: Any) -> Settings:
    return Settings.from_keywords({**gym.spec(env_id).kwargs, **keywords})


@pytest.mark.parametrize("name", papers.PAPERS)
def test_every_paper_is_a_problem_that_can_be_searched(name: str) -> None:
    paper = papers.find(name)
    for task in paper.tasks:
        settings = of(f"ArchSearch-{paper.trainer.upper()}-v0", paper=name, task=task)
        assert Problem(settings).space.size > 0
        assert {key: getattr(settings, key) for key in paper.settings} == dict(paper.settings)
        assert (settings.task, settings.paper) == (task, name)
        assert Settings.from_keywords(json.loads(json.dumps(settings.to_dict()))) == settings


def test_nas_dqn_is_the_papers_experiment() -> None:
    settings = of("ArchSearch-DQN-v0", paper="nas-dqn")
    assert (settings.task, settings.space, settings.transfer) == ("NASDQNPendulum-v0", "mlp", "matching")
    assert (settings.replay_keep, settings.window_episodes) == (0.25, 200)
    assert Problem(settings).space.size == 27


def test_mazyavkina_is_the_papers_experiment() -> None:
    settings = of("ArchSearch-PPO-v0", paper="mazyavkina")
    assert (settings.task, settings.space, settings.preset) == ("Breakout-v5", "nature-kernels", "mazyavkina")
    assert (settings.inner_envs, settings.envs_per_member) == ("carry", 8)
    assert settings.window_steps == 10 * 128 * 8
    assert 9.9e6 < settings.windows * settings.window_steps <= 1e7


def test_what_is_given_goes_before_the_paper() -> None:
    settings = of("ArchSearch-DQN-v0", paper="nas-dqn", transfer="shared", windows=3, space="mlp-wide")
    assert (settings.transfer, settings.windows, settings.space) == ("shared", 3, "mlp-wide")
    assert settings.replay_keep == 0.25


def test_a_window_is_given_in_steps_or_in_episodes_and_not_half_by_the_paper() -> None:
    in_steps = of("ArchSearch-DQN-v0", paper="nas-dqn", window_steps=2500)
    assert (in_steps.window_steps, in_steps.window_episodes) == (2500, None)
    both = of("ArchSearch-DQN-v0", paper="nas-dqn", window_steps=4000, window_episodes=5)
    assert (both.window_steps, both.window_episodes) == (4000, 5)
    assert of("ArchSearch-DQN-v0", paper="nas-dqn", window_steps=None).window_episodes == 200
    in_episodes = of("ArchSearch-PPO-v0", paper="mazyavkina", window_episodes=3)
    assert (in_episodes.window_steps, in_episodes.window_episodes) == (None, 3)


@pytest.mark.parametrize(
    ("env_id", "keywords", "sentence"),
    [
        ("ArchSearch-DQN-v0", {"paper": "nasdqn"}, "unknown paper 'nasdqn': .* Did you mean 'nas-dqn'"),
        (
            "ArchSearch-DQN-v0",
            {"paper": "nas-dqn", "task": "CartPole-v1"},
            "expected task 'NASDQNPendulum-v0'",
        ),
        ("ArchSearch-PQN-v0", {"paper": "nas-dqn"}, "expected ArchSearch-DQN-v0 or a view of it, got .* of PQN"),
        ("ArchSearch-DQN-v0", {"paper": "mazyavkina"}, "expected ArchSearch-PPO-v0 or a view of it, got .* of DQN"),
        (
            "ArchSearch-PPO-v0",
            {"paper": "mazyavkina", "task": "Pong-v5"},
            "'Breakout-v5' or 'Freeway-v5'",
        ),
        ("ArchSearch-DQN-Tabular-v0", {"paper": "nas-dqn"}, "a recorded table has none"),
        ("ArchSearch-DQN-v0", {"paper": 3}, "paper: expected a name, got 3"),
    ],
    ids=lambda value: str(value),
)
def test_a_paper_that_does_not_fit_is_refused_in_a_sentence(
    env_id: str, keywords: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        of(env_id, **keywords)


def test_settings_that_were_written_down_are_refused_if_they_do_not_fit() -> None:
    whole = of("ArchSearch-DQN-v0", paper="nas-dqn").to_dict()
    with pytest.raises(ValueError, match="expected task 'NASDQNPendulum-v0'"):
        Settings(**{**whole, "task": "CartPole-v1"})


def test_on_the_command_line_the_paper_gives_what_no_flag_says() -> None:
    args = parse(random_search.Args, ["--paper", "nas-dqn", "--windows", "3"], "archgym search random-search")
    assert (args.env_id, args.task, args.windows) == ("ArchSearch-DQN-v0", "NASDQNPendulum-v0", 3)
    assert args.settings() == of("ArchSearch-DQN-v0", paper="nas-dqn", windows=3)
    args = parse(random_search.Args, ["--paper=mazyavkina"], "archgym search random-search")
    assert (args.env_id, args.preset, args.windows) == ("ArchSearch-PPO-v0", "mazyavkina", 976)
    assert args.settings() == of("ArchSearch-PPO-v0", paper="mazyavkina")
    study = parse(one_shot.Args, ["--paper", "mazyavkina"], "archgym study one-shot")
    assert (study.env_id, study.windows, study.score) == ("ArchSearch-PPO-v0", 976, "last_fifth")
    assert study.retrain == 10_000_000
    assert study.agents == ("enas:controller=mazyavkina", "spos")
    sequential = parse(ppo.Args, ["--paper", "nas-dqn"], "archgym search ppo")
    assert sequential.env_id == "ArchSearch-DQN-Sequential-v0"


def test_a_flag_that_the_paper_contradicts_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["search", "random-search", "--paper", "nas-dqn", "--task", "CartPole-v1"])
    assert "expected task 'NASDQNPendulum-v0' with paper='nas-dqn', got 'CartPole-v1'" in capsys.readouterr().err


def test_list_names_the_papers_and_the_studies(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list"])
    said = capsys.readouterr().out
    for name in [*papers.PAPERS, *lookup.names("archgym.studies")]:
        assert f"\n  {name} " in said
