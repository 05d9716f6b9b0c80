"""What the studies ask and answer: their arms, their measures, and claims whose answers are planted."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from archgym.__main__ import main
from archgym.population import Population
from archgym.problem import Problem
from archgym.running.launch import parse
from archgym.settings import Settings
from archgym.studies import controller_transfer, nas_dqn, one_shot
from archgym.study import command, stats
from archgym.study.page import comparison_said
from archgym.study.true_scores import Trained
from archgym.table import Table, load

TINY = ["--task", "CartPole-v1", "--windows", "4", "--window-steps", "160", "--seeds", "1", "--jobs", "1"]
INNER = ["--inner", "envs_per_member=2", "batch_size=32", "learning_starts=40"]
TABLES = ["--env-id", "ArchSearch-DQN-Tabular-v0", "--windows", "30", "--num-envs", "1", "--jobs", "1"]
TEN = 10


def nas_of(*words: str) -> nas_dqn.Study:
    return nas_dqn.Study(parse(nas_dqn.Args, words, "archgym study nas-dqn"))


def one_shot_of(*words: str) -> one_shot.Study:
    return one_shot.Study(parse(one_shot.Args, words, "archgym study one-shot"))


def trained(own: one_shot.Study) -> Trained:
    assert isinstance(own.true_scores, Trained)
    return own.true_scores


def transfer_of(*words: str) -> controller_transfer.Study:
    return controller_transfer.Study(parse(controller_transfer.Args, words, "archgym study controller-transfer"))


def answers_of(content: dict[str, Any]) -> dict[str, str]:
    return {one["claim"]: one["answer"] for one in content["answers"]}


# NAS-DQN


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[nas_dqn.Study, dict[str, Any]]:
    """A tiny study that really trains: one repeat of all arms."""
    folder = tmp_path_factory.mktemp("nas") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("archgym.study.page.write", lambda folder: folder)
        own = nas_of(*TINY, "--out", str(folder), *INNER)
        assert command.main(own) == 0
    content: dict[str, Any] = json.loads((folder / "study.json").read_text())
    return own, content


def planted(value: Callable[[str, str, NDArray[np.float64]], Any]) -> dict[str, str]:
    """Answer the claims where every measure of every arm is given, plus noise that the seeds share."""
    own = nas_of("--seeds", str(TEN))
    rng = np.random.default_rng(5)
    names = ("final", "area", "steps", "reached", "spread", "drop", "switches", "oscillates", "all_steps")
    names += ("decision", "switch", "decision_ms", "lost", "overhead")
    noise = {name: rng.normal(0, 1e-3, TEN) for name in names}
    own.__dict__["complete"] = own.seeds
    own.__dict__["measures"] = {
        arm: {name: noise[name] + value(arm, name, rng.normal(0, 1e-3, TEN)) for name in names} for arm in own.arms
    }
    return {one["claim"]: one["answer"] for one in own.answers()}


def test_all_arms_of_the_issue_are_there() -> None:
    own = nas_of()
    arms = own.arms
    rules = {arm: arms[arm].args.rule for arm in arms if arms[arm].agent == "score-keeping"}  # type: ignore[attr-defined]
    assert rules == {"score-softmax": "softmax", "score-epsilon-greedy": "epsilon-greedy", "score-ucb": "ucb"}
    assert [arms[name].agent for name in ("lstm", "random-switching", "random-lossless", "fixed-reset")] == [
        *("lstm-reinforce", "random-search", "random-search", "fixed")
    ]
    assert [name for name in arms if name.startswith("fixed-")] == [*nas_dqn.SIZES, nas_dqn.BEST, nas_dqn.RESET]
    assert len(own.seeds) >= 10
    for name, arm in arms.items():
        settings = arm.args.settings()
        assert (settings.task, settings.paper, arm.args.num_envs) == ("NASDQNPendulum-v0", "nas-dqn", 1)
        lossless = name == nas_dqn.LOSSLESS
        assert (settings.transfer, settings.replay_keep) == (("shared", 1.0) if lossless else ("matching", 0.25))
        assert settings.reset_layers == (1 if name == nas_dqn.RESET else 0)
        assert settings.window_episodes == 200
        assert arm.control == (name not in (*rules, "lstm", "random-switching"))


def test_what_an_arm_has_of_its_own_goes_before_what_is_given_for_all() -> None:
    own = nas_of("--inner", "transfer=net2net", "replay_keep=0.5", "learning_rate=0.01")
    found = {name: arm.args.settings() for name, arm in own.arms.items()}
    assert {settings.trainer_settings["learning_rate"] for settings in found.values()} == {0.01}
    kept = {name: (settings.transfer, settings.replay_keep) for name, settings in found.items()}
    assert kept.pop(nas_dqn.LOSSLESS) == ("shared", 1.0)
    assert set(kept.values()) == {("net2net", 0.5)}


def test_the_fixed_networks_are_the_smallest_the_middle_and_the_largest() -> None:
    own = nas_of()
    networks = [own.problem.space.network_of(one) for one in own.sizes]
    assert [(len(one.hidden), one.hidden[0], one.activation) for one in networks] == [  # type: ignore[attr-defined]
        *((2, 32, "relu"), (3, 64, "relu"), (4, 128, "relu"))
    ]


def test_the_best_fixed_network_is_chosen_on_the_search_seeds_of_the_table() -> None:
    own, recorded = nas_of("--task", "CartPole-v1"), load("dqn--mlp--CartPole-v1")
    scores = recorded.scores("area")
    assert own.best == recorded.space.label(recorded.architectures[scores[:, :5].mean(1).argmax()])
    other = nas_of("--task", "MountainCar-v0", "--space", "mlp-wide")  # no table of these comes with archgym
    assert other.best is None
    assert nas_dqn.BEST not in other.arms


def test_the_page_says_how_much_shorter_a_window_is_than_the_papers() -> None:
    (said,) = nas_of("--window-steps", "5000").shorter()
    assert said.startswith("A window is 10 episodes of full length here, and 200 in the paper")
    assert nas_of().shorter() == []


def test_steps_given_for_a_window_go_before_the_papers_episodes() -> None:
    settings = nas_of("--window-steps", "5000").problem.settings
    assert (settings.window_steps, settings.window_episodes, settings.transfer) == (5000, None, "matching")
    in_episodes = nas_of("--inner", "window_episodes=50").problem.settings
    assert (in_episodes.window_episodes, in_episodes.paper) == (50, "nas-dqn")
    other = nas_of("--task", "CartPole-v1").problem.settings
    assert (other.paper, other.window_episodes, other.transfer, other.replay_keep) == ("", None, "matching", 0.25)


def test_arms_have_equal_environment_steps(lived: tuple[nas_dqn.Study, dict[str, Any]]) -> None:
    own, content = lived
    assert {float(one["all_steps"][0]) for one in own.measures.values()} == {4 * 160.0}
    assert {run.steps for runs in own.runs.values() for run in runs} == {own.runs["lstm"][0].steps}
    assert [row[0] for row in content["tables"][0]["rows"]] == list(own.arms)


def test_what_a_study_says_it_will_take_is_what_it_takes(lived: tuple[nas_dqn.Study, dict[str, Any]]) -> None:
    own, _ = lived
    taken = sum(run.steps for runs in own.runs.values() for run in runs)
    arms = len(own.arms)
    assert own.amount() == (
        f"nas-dqn: {arms} arms x 1 repeats = {arms} searches, {taken:,} inner environment steps; "
        "processes side by side: 1."
    )
    assert "(10 different ones) x 10 repeats = 100 searches, at most 240" in nas_of().amount()
    assert (
        "5 arms x 2 repeats = 10 searches, nothing is trained in them" in transfer_of(*TABLES, "--seeds", "2").amount()
    )


def test_who_stays_never_switches_and_who_is_reset_is_another(
    lived: tuple[nas_dqn.Study, dict[str, Any]],
) -> None:
    own, _ = lived
    for name in (*nas_dqn.SIZES, nas_dqn.RESET):
        assert own.measures[name]["switches"].tolist() == [0.0]
        assert own.measures[name]["drop"].tolist() == [0.0]
    middle, reset = (own.runs[name][0].columns for name in (nas_dqn.SIZES[1], nas_dqn.RESET))
    assert middle["raw_return"][0, 0] == reset["raw_return"][0, 0]
    assert middle["raw_return"][1:, 0].tolist() != reset["raw_return"][1:, 0].tolist()


def test_random_switching_loses_weights_and_replay_at_a_switch_and_its_lossless_control_nothing() -> None:
    own = nas_of(*TINY, *INNER)
    kept: dict[str, tuple[float, int]] = {}
    for name in (nas_dqn.RANDOM, nas_dqn.LOSSLESS):
        made = Population(Problem(own.arms[name].args.settings()), 1)
        made.reset([1])
        before, after = np.array([[0, 1, 0]]), np.array([[1, 2, 0]])
        made.train_window(before)
        network = made.problem.space.network_of(before[0])
        old = made.lifetimes[0].stores[""].supernet
        weights = old.fields["weight"][old.layout.positions(network)].clone()
        filled = int(made.replay.filled[0])
        made.trainers[0].config = replace(made.trainers[0].config, learning_starts=10**6)  # what is there, unchanged
        made.train_window(after)
        numbers = made.lifetimes[0].stores[""].supernet.fields["weight"]
        kept[name] = float(torch.isin(weights, numbers).float().mean()), int(made.replay.filled[0]) - filled
    written = 160 // 2 + 1  # by two inner environments in a window
    assert kept[nas_dqn.LOSSLESS] == (1.0, written)
    assert kept[nas_dqn.RANDOM][0] < 0.1
    assert kept[nas_dqn.RANDOM][1] == pytest.approx(written - 0.75 * written, abs=2)


def test_overhead_is_the_share_of_the_wall_clock_beyond_that_of_who_stays_on_the_same_seed() -> None:
    """Of two seeds: 100 s each; decisions of 1 and 2 s, exchanges of 3 and 4 s, and 1 and 2 s of who stays."""
    own = nas_of("--seeds", "2", "--windows", "4", "--window-steps", "5000")
    own.__dict__["complete"] = own.seeds
    exchanges = {nas_dqn.SIZES[1]: (1.0, 2.0)}
    curves = {nas_dqn.SIZES[1]: [0.0, 0.5, 0.9, 1.0], nas_dqn.RANDOM: [0.0, 0.0, 0.0, 0.4]}
    own.__dict__["runs"] = {
        arm: [
            lived_run(curves.get(arm, [0.0] * 4), {"train": 100.0 - seconds, "switch": seconds})
            for seconds in exchanges.get(arm, (3.0, 4.0))
        ]
        for arm in own.arms
    }
    decided = {arm: (1.0, 2.0) for arm in own.arms} | {nas_dqn.SIZES[1]: (0.0, 0.5)}
    own.decision_seconds = lambda arm, seed: decided[arm.name][own.seeds.index(seed)]  # type: ignore[method-assign]
    found = own.measures[nas_dqn.RANDOM]
    assert found["overhead"] == pytest.approx([0.03, 0.035])
    assert found["decision_ms"] == pytest.approx([250.0, 500.0])
    assert own.measures[nas_dqn.SIZES[1]]["overhead"].tolist() == [0.0, 0.0]
    assert found["lost"] == pytest.approx([0.5, 0.5]), "who stays has 0.5 and 0.9 in the second window and the next"
    assert found["steps"].tolist() == [20_000.0, 20_000.0]
    assert own.measures[nas_dqn.SIZES[1]]["steps"].tolist() == [15_000.0, 15_000.0]
    assert "score-softmax 2, random-switching 2, median fixed 2" in own.censored(), (
        "two of the three have learned nothing"
    )


def lived_run(curve: list[float], seconds: dict[str, float]) -> Any:
    """Invent a run of one lifetime that never switches."""
    column = np.array(curve)[:, None]
    steps, switched = np.full((len(curve), 1), 5000.0), np.zeros((len(curve), 1))
    columns = {"normalised_return": column, "switched": switched, "env_steps": steps}
    return SimpleNamespace(columns=columns, actions=np.zeros((len(curve), 1, 3), dtype=int), seconds=seconds)


def test_the_page_names_networks_that_are_two_arms_and_counts_them_once(
    lived: tuple[nas_dqn.Study, dict[str, Any]],
) -> None:
    own = nas_of("--window-steps", "5000")
    assert own.twins == {nas_dqn.BEST: nas_dqn.SIZES[2]}, "on the paper's pendulum the table's best is the largest"
    assert own.arms[nas_dqn.BEST].text.endswith("; here that is fixed-large.")
    own.__dict__["complete"] = own.seeds
    own.__dict__["measures"] = {arm: {"all_steps": np.array([1.0])} for arm in own.arms}
    said = own.method()[0]
    assert said.startswith("11 arms, 10 of them different (fixed-best is the same network as fixed-large), 10 seeds")
    assert lived[0].twins == {}
    assert "different" not in lived[1]["method"][0]


def test_networks_that_are_two_arms_are_trained_once() -> None:
    own = nas_of("--window-steps", "5000")
    jobs = own.searches(list(own.arms.values()), own.seeds)
    assert len(jobs) == 10 * len(own.seeds)
    assert not [job for job in jobs if job.name.startswith(nas_dqn.BEST)]
    assert {own.search_args(own.arms[name], 1).out for name in (nas_dqn.BEST, nas_dqn.SIZES[2])} == {
        own.folder / "searches" / "fixed-large" / "1"
    }
    assert own.amount().startswith("nas-dqn: 11 arms (10 different ones) x 10 repeats = 100 searches, ")


def test_the_page_says_so_where_decisions_are_fewer_than_architectures(
    lived: tuple[nas_dqn.Study, dict[str, Any]],
) -> None:
    assert any("4 windows and there are 27 architectures: fewer decisions" in text for text in lived[1]["limits"])
    assert nas_of("--windows", "27").few_decisions() == []


def test_the_page_says_how_much_a_switch_hands_on_and_how_much_room_there_is(
    lived: tuple[nas_dqn.Study, dict[str, Any]],
) -> None:
    said = "Of the 702 switches between two of the 27 architectures 486 copy no layer at all"
    assert any(text.startswith(said) for text in lived[1]["limits"])
    assert nas_of("--space", "mlp-wide").handed_on() == []  # too many to look at
    assert nas_of("--task", "CartPole-v1", "--inner", "transfer=shared").handed_on() == []
    own = nas_of()
    ends = dict(zip(nas_dqn.SIZES, (0.95, 0.91, 0.97), strict=True))
    own.__dict__["measures"] = {arm: {"final": np.full(TEN, ends.get(arm, 0.0))} for arm in own.arms}
    (text,) = own.ceiling()
    assert text.startswith("The three fixed networks end at 0.91 to 0.97,")
    own.measures[nas_dqn.SIZES[0]]["final"][:] = 0.5
    assert own.ceiling() == []


def test_one_repeat_decides_nothing(lived: tuple[nas_dqn.Study, dict[str, Any]]) -> None:
    assert set(answers_of(lived[1]).values()) == {"undecided"}
    assert len(answers_of(lived[1])) == 5
    assert "reset" in lived[1]["method"][-1]


def test_a_withheld_interval_is_said_in_the_answers(lived: tuple[nas_dqn.Study, dict[str, Any]]) -> None:
    rows = [row for one in lived[1]["answers"] for row in one["rows"]]
    assert {row["few"] for row in rows} == {"1 seed"}
    lower = {one["claim"] for one in lived[1]["answers"] if not one["rows"][0]["higher"]}
    assert lower == {nas_dqn.CLAIMS[2].claim, nas_dqn.CLAIMS[3].claim, "The controller's overhead is negligible"}


def test_what_too_few_repeats_cannot_decide_is_said_by_every_study() -> None:
    few = "repeats: every answer will be 'undecided'. It takes at least --seeds"
    assert nas_of("--seeds", "5").forewarned() == [f"Nothing can be decided with 5 {few} 8."]
    assert nas_of("--seeds", "6").forewarned() == [
        "Not everything can be decided with 6 repeats: 4 of 5 answers will be 'undecided'. It takes at least --seeds 8."
    ]
    assert nas_of("--seeds", "8").forewarned() == []
    assert transfer_of("--seeds", "6").forewarned() == [f"Nothing can be decided with 6 {few} 7."]
    assert transfer_of("--seeds", "7").forewarned() == []


def test_the_levels_that_are_forewarned_of_are_those_of_the_answers(
    lived: tuple[nas_dqn.Study, dict[str, Any]],
    continued: tuple[controller_transfer.Study, dict[str, Any]],
    ranked: Callable[..., one_shot.Study],
) -> None:
    for own, content in (lived, continued):
        assert own.levels == [one["level"] for one in content["answers"]]
    asked = ranked(lambda level, rng: rng.random(len(level)))
    assert {one["level"] for one in asked.answers()} <= set(asked.levels)


def test_the_method_says_what_a_switch_hands_over(
    lived: tuple[nas_dqn.Study, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, content = lived
    said = "layers of equal shape are copied and the others begin anew, and 25 % of the replay are kept"
    assert said in content["method"][1]
    given = ("--inner", "transfer=net2net", "replay_keep=0.5", "envs_per_member=2", "batch_size=32")
    monkeypatch.setitem(own.__dict__, "problem", nas_of(*TINY, *given, "learning_starts=40").problem)
    assert "handed over by transfer=net2net, not by the paper's rule, and 50 % of the replay" in own.method()[1]


def test_claims_that_are_true_by_construction_are_answered_yes() -> None:
    better = {"final": 0.1, "area": 0.1, "steps": -0.1, "spread": -0.1, "lost": 0.0, "overhead": 0.0}

    def value(arm: str, name: str, own: NDArray[np.float64]) -> NDArray[np.float64]:
        return own + (better.get(name, 0.0) if arm == "score-softmax" else 0.0)

    assert set(planted(value).values()) == {"yes"}


def test_where_there_is_no_difference_nothing_is_decided() -> None:
    found = planted(lambda arm, name, own: own + (nas_dqn.NEGLIGIBLE if name == "overhead" else 0.0))
    assert set(found.values()) == {"undecided"}


def test_being_worse_than_one_control_is_enough_for_no() -> None:
    worse = {"final": 0.1, "area": 0.1, "steps": -0.1, "spread": -0.1}

    def value(arm: str, name: str, own: NDArray[np.float64]) -> NDArray[np.float64]:
        at_stake = 0.05 if name == "overhead" else 0.0
        return own + at_stake + (worse.get(name, 0.0) if arm == nas_dqn.LOSSLESS else 0.0)

    assert set(planted(value).values()) == {"no"}


def test_learning_that_is_lost_is_told_and_decides_nothing_about_the_overhead() -> None:
    found = planted(lambda arm, name, own: own + (0.9 if name == "lost" else 0.0))
    assert found["The controller's overhead is negligible"] == "yes"


def test_an_overhead_far_below_one_percent_is_still_a_number() -> None:
    own = nas_of("--seeds", str(TEN))
    spent = {"overhead": np.linspace(0.0002, 0.0004, TEN), "lost": np.zeros(TEN)}
    own.__dict__["measures"] = dict.fromkeys(own.arms, spent)
    found = own.overhead_answer(["score-softmax", "lstm"])
    assert comparison_said(found["rows"][0]).startswith("score-softmax against 1 % of the wall-clock: 0.030 [0.02")
    assert "lstm: yes, 0.030 [0.02" in found["note"]


def test_better_than_random_switching_alone_is_not_enough_for_yes() -> None:
    found = planted(lambda arm, name, own: own - (0.1 if arm == nas_dqn.RANDOM and name == "final" else 0.0))
    assert found[nas_dqn.CLAIMS[0].claim] == "undecided"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--inner", "max_params=1500"], "--space: expected networks of at least 3 sizes, got those of 'mlp'."),
        (["--space", "nature-kernels"], "space: expected one of mlp"),
        (["--inner", "transfer=sharde"], "unknown transfer 'sharde'"),
        (["--inner", "space=mlp-wide"], "--inner: expected settings without a flag of their own, got space."),
        (["--inner", "seed=5"], "--inner: expected settings without a flag of their own, got seed."),
        (["--inner", "out=foo"], "--inner: expected settings without a flag of their own, got out."),
        (["--windows", "3", "--inner", "windows=2"], "without a flag of their own, got windows."),
        (["--inner", "num_envs=2"], "--inner: expected settings that nas-dqn does not set itself, got num_envs."),
        (
            ["--inner", "transfer=own"],
            "at a switch, as the arm 'fixed-reset' of nas-dqn needs, got 'own'.",
        ),
        (["--inner", "transfer=fresh", "replay_keep=1.0"], "'fixed-reset' of nas-dqn needs, got 'fresh'."),
        (["--inner", "reset_layers=2"], "that nas-dqn does not set itself, got reset_layers."),
        (
            ["--task", "CartPole-v1", "--inner", "window_episodes=4"],
            "study nas-dqn: expected windows of equally many steps (--window-steps), as equal budgets need; got "
            "window_episodes=4.",
        ),
    ],
)
def test_a_space_or_setting_that_does_not_fit_is_refused(words: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        nas_of(*words).check()


# One-shot search

ONE = "spos"


@pytest.fixture
def ranked(monkeypatch: pytest.MonkeyPatch, planted_table: Callable[..., Table]) -> Callable[..., one_shot.Study]:
    """Give a function that makes a study of twelve searches, which rank as they are told, on a planted table."""

    def make(rank: Callable[[NDArray[np.float64], np.random.Generator], Any], **keywords: Any) -> one_shot.Study:
        own = one_shot_of("--agents", ONE, "--seeds", "12", "--draws", "200")
        table = planted_table(seeds=20, windows=4, ages=(1, 4))
        level = np.random.default_rng(1).uniform(30, 460, len(table.architectures))
        noise = np.random.default_rng(2).normal(0, 15, table.columns["raw_return"].shape)
        table.columns["raw_return"][...] = level[:, None, None] + noise
        rng = np.random.default_rng(3)
        orders = {seed: table.architectures[np.argsort(-rank(level, rng))].tolist() for seed in own.seeds}
        own.__dict__.update(table=table, complete=own.seeds, steps={ONE: 2 * 4 * 400.0 + 1})
        monkeypatch.setattr(own, "recommended", lambda arm, seed: orders[seed])
        return own

    return make


def test_a_proxy_that_knows_the_truth_is_answered_yes(ranked: Callable[..., one_shot.Study]) -> None:
    own = ranked(lambda level, rng: level + rng.normal(0, 10, len(level)))
    found = {one["claim"].split(" ", 1)[1]: one["answer"] for one in own.answers()}
    assert found == {
        "finds better networks than the best of 3 drawn at random": "yes",
        "is worth its steps: it finds better networks than the best of 5 drawn at random": "yes",
        "finds better networks than the one made by hand": "yes",
        "ranks architectures as training from scratch does, better than chance": "yes",
        "has better networks among the 3 that it ranks highest than 3 drawn at random have": "yes",
    }
    assert own.found[ONE]["regret"]["value"] == pytest.approx(0, abs=0.02)
    assert own.found[ONE]["tau"]["value"] > 0.8
    assert own.found[ONE]["beats"] > 0.9


def test_a_proxy_that_says_nothing_is_no_better_than_random_sets(ranked: Callable[..., one_shot.Study]) -> None:
    own = ranked(lambda level, rng: rng.random(len(level)))
    answers = [one["answer"] for one in own.answers()]
    assert (answers[0], *answers[3:]) == ("undecided", "undecided", "undecided")
    assert abs(own.found[ONE]["tau"]["value"]) < 0.15
    assert 0.35 < own.found[ONE]["beats"] < 0.65


def test_a_proxy_that_is_always_wrong_is_answered_no(ranked: Callable[..., one_shot.Study]) -> None:
    own = ranked(lambda level, rng: -level)
    assert [one["answer"] for one in own.answers()] == ["no"] * 5


def test_random_search_at_equal_steps_is_left_out_where_too_few_true_scores_are_known(
    ranked: Callable[..., one_shot.Study],
) -> None:
    own = ranked(lambda level, rng: level)
    own.__dict__["steps"] = {ONE: 25 * 4 * 400.0}
    assert own.paid(ONE) == 28
    content = own.content()
    assert [one["claim"] for one in own.answers() if "steps" in one["claim"]] == []
    assert len(own.figures()) == 3
    assert [row[0] for row in own.result_table()["rows"]] == [ONE, "best of 3 random", "made by hand"]
    drawn = next(text for text in content["method"] if text.startswith("Best of K random"))
    assert f"are not drawn for {ONE} (28): true scores of only 27 are known." in drawn
    assert "so sets are also drawn" not in drawn


def test_how_a_proxy_ranks_is_not_asked_where_it_has_not_ranked_all(ranked: Callable[..., one_shot.Study]) -> None:
    """What a search of a large space recommends is all that it ranks; drawn ones it has not ranked are no guess."""
    own = ranked(lambda level, rng: level)
    whole = own.recommended
    own.recommended = lambda arm, seed: (whole(arm, seed) or [])[:3]  # type: ignore[method-assign]
    content = own.content()
    assert [one["claim"].split(" ", 1)[1][:5] for one in content["answers"]] == ["finds", "is wo", "finds"]
    assert [content["tables"][0]["rows"][0][place] for place in (4, 5)] == ["-", "-"]
    assert any(text.startswith(f"Not every search of {ONE} has ranked all 27") for text in content["limits"])


def test_where_k_is_the_whole_space_every_search_comes_to_the_same(ranked: Callable[..., one_shot.Study]) -> None:
    own = ranked(lambda level, rng: rng.random(len(level)))
    object.__setattr__(own.args, "top", 27)
    assert own.found[ONE]["over_random"]["value"] == pytest.approx(0)


def test_true_scores_come_from_the_table_that_ships_all_its_seeds_judging() -> None:
    own = one_shot_of("--task", "Acrobot-v1", "--agents", ONE)
    assert own.table is not None
    first, second = own.truth
    assert (first.shape, second.shape) == ((27, 5), (27, 5))
    assert second.mean(1) == pytest.approx(own.table.truth("area"))
    assert own.true_scores.seeds == 10
    assert one_shot_of("--task", "Acrobot-v1", "--table", "none").table is None
    assert one_shot_of("--env-id", "ArchSearch-PQN-v0").table is None


def test_a_table_of_a_sample_is_not_taken_unless_it_is_asked_for_and_then_refused() -> None:
    assert one_shot_of("--space", "mlp-wide").table is None
    with pytest.raises(ValueError, match="--table: expected one of all architectures of mlp-wide on CartPole-v1"):
        _ = one_shot_of("--space", "mlp-wide", "--table", "dqn--mlp-wide--CartPole-v1").table


def test_the_papers_own_experiment_is_offered_by_the_same_command() -> None:
    own = one_shot_of("--paper", "mazyavkina")
    for arm in own.arms.values():
        settings = arm.args.settings()
        assert (settings.trainer, settings.task, settings.space) == ("ppo", "Breakout-v5", "nature-kernels")
        assert (settings.preset, settings.inner_envs, settings.windows) == ("mazyavkina", "carry", 976)
        assert settings.window_steps == 10_240
    assert list(own.arms) == ["enas:controller=mazyavkina", "spos"]
    assert own.arms["enas:controller=mazyavkina"].args.controller == "mazyavkina"  # type: ignore[attr-defined]
    assert "--controller mazyavkina" in own.arms["enas:controller=mazyavkina"].command
    assert own.args.score == "last_fifth"  # the paper's is the return at the end
    assert own.table is None
    assert own.forewarned() == []  # it can decide something


def test_from_scratch_the_papers_games_are_those_of_its_search() -> None:
    """Late states of a game are in both: inner environments live on, in windows of the same length."""
    own = one_shot_of("--paper", "mazyavkina")
    job = trained(own).training(own.usual)
    from_scratch, search = Settings(**job.settings), next(iter(own.arms.values())).args.settings()
    assert (from_scratch.preset, from_scratch.trainer) == ("mazyavkina", "ppo")
    assert (from_scratch.inner_envs, from_scratch.window_steps) == (search.inner_envs, search.window_steps)
    assert Problem(from_scratch).window_task == Problem(search).window_task
    assert (from_scratch.transfer, from_scratch.share_weights) == ("own", False)
    assert from_scratch.windows == 977
    other = one_shot_of("--paper", "mazyavkina", "--inner", "inner_envs=fresh")
    assert trained(other).training(other.usual).settings["inner_envs"] == "fresh"
    assert trained(other).training(other.usual).settings["window_steps"] == Problem(from_scratch).full_window_steps


def test_what_is_given_goes_before_the_papers_protocol() -> None:
    own = one_shot_of("--paper", "mazyavkina", "--agents", "enas", "--score", "area")
    assert (list(own.arms), own.args.score) == (["enas"], "area")


def test_an_agent_has_settings_of_its_own_and_two_of_them_are_two_arms_with_folders_of_their_own() -> None:
    specs = ["enas", "enas:controller=mazyavkina", "enas:update_every=5,warmup=0.1"]
    own = one_shot_of("--agents", *specs)
    assert list(own.arms) == specs
    found = [arm.args for arm in own.arms.values()]
    assert [(one.controller, one.update_every, one.warmup) for one in found] == [  # type: ignore[attr-defined]
        *(("default", 10, 0.2), ("mazyavkina", 10, 0.2), ("default", 5, 0.1))
    ]
    slugs = {arm.slug for arm in own.arms.values()}
    assert slugs == {"enas", "enas_controller=mazyavkina", "enas_update_every=5_warmup=0.1"}
    texts = [arm.text for arm in own.arms.values()]
    assert "its own: controller=default; the others" in texts[0]  # a word, which tells the variant, is always said
    assert "its own: controller=mazyavkina; the others" in texts[1]
    assert "controller=default, update_every=5, warmup=0.1" in texts[2]
    assert all("the probability that its controller gives them" in text for text in texts)


def test_only_a_space_that_names_a_network_made_by_hand_has_one() -> None:
    mlp = one_shot_of()
    assert mlp.problem.space.label(mlp.usual) == "depth=2 width=128 activation=relu"
    assert mlp.usual_name == "made by hand"
    nature = one_shot_of("--task", "Breakout-v5", "--space", "nature-kernels")
    assert nature.problem.space.label(nature.usual) == "kernel_1=4 kernel_2=3"
    assert nature.usual_name == "made by hand"
    for space, task in (("deep-kernels", "Breakout-v5"), ("mini-kernels", "Orchard-v0")):
        other = one_shot_of("--task", task, "--space", space)
        assert other.usual.tolist() == other.problem.space.default_architecture.tolist()
        assert other.usual_name == "the space's default"


def test_what_cannot_be_decided_is_said_before_anything_is_trained() -> None:
    (said,) = one_shot_of("--seeds", "4").forewarned()
    assert said == (
        "Nothing can be decided with 4 searches and 10 seeds that judge: every answer will be 'undecided'. 10 answers "
        "that hold together with 95 % take at least --seeds 9 with a table of 9 seeds."
    )
    (said,) = one_shot_of("--table", "none", "--retrain-seeds", "4").forewarned()
    assert "10 searches, 4 seeds that judge and 12 random architectures" in said
    assert "at least --seeds 9 with --retrain-seeds 9." in said
    (said,) = one_shot_of("--table", "none", "--sample", "8").forewarned()
    assert "at least --seeds 9 with --retrain-seeds 9 and --sample 9." in said
    enough = ["--table", "none", "--retrain-seeds", "9"]
    assert one_shot_of(*enough, "--seeds", "9").forewarned() == []
    assert one_shot_of(*enough, "--seeds", "8").forewarned() != []
    assert one_shot_of(*enough, "--seeds", "8", "--agents", "spos").forewarned() == []  # fewer answers
    assert one_shot_of().forewarned() == []


def test_what_training_from_scratch_takes_is_said_too() -> None:
    own = one_shot_of("--table", "none")
    assert own.amount().endswith(" Then at most 27 x 10 trainings from scratch, 16,200,000 steps.")
    wide = one_shot_of("--space", "mlp-wide")
    assert wide.amount().endswith(" Then at most 73 x 10 trainings from scratch, 43,800,000 steps.")
    assert "from scratch" not in one_shot_of().amount()


def test_few_judging_seeds_decide_nothing_however_many_searches_there_are(
    ranked: Callable[..., one_shot.Study],
) -> None:
    own = ranked(lambda level, rng: level)
    assert own.table is not None
    own.table.card.seeds[:] = own.table.card.seeds[:6]
    own.__dict__["truth"] = tuple(half[:, :3] for half in own.truth)
    assert own.true_scores.seeds == 6
    assert {one["answer"] for one in own.answers()} == {"undecided"}
    assert all(row["low"] is None for one in own.answers() for row in one["rows"])
    assert any(
        "12 searches and 6 seeds that judge are too few to decide anything: it takes at least 8 of each" in text
        for text in own.limits()
    )


def test_a_difference_that_as_many_random_sets_reach_is_luck(ranked: Callable[..., one_shot.Study]) -> None:
    own = ranked(lambda level, rng: level + rng.normal(0, 10, len(level)))
    assert own.answers()[0]["answer"] == "yes"
    own.found[ONE]["luck"]["over_random"] = 0.3
    lucky = own.answers()[0]
    assert (lucky["answer"], lucky["rows"][0]["verdict"]) == ("undecided", "undecided")
    assert "p = 0.3, more than 0.01: that may be luck, and is undecided." in lucky["note"]


def test_better_than_by_hand_is_answered_beside_what_random_sets_have_against_it(
    ranked: Callable[..., one_shot.Study],
) -> None:
    own = ranked(lambda level, rng: level)
    row = own.places[tuple(own.usual.tolist())]
    first, second = own.truth
    first[row], second[row] = -1, -1  # anything is better than it
    answer = next(one for one in own.answers() if "made by hand" in one["claim"])
    assert [one["arm"] for one in answer["rows"]] == [ONE, "best of 3 random"]
    assert [one["verdict"] for one in answer["rows"]] == ["better", "better"]
    first[row], second[row] = 1, 1  # nothing is
    own.__dict__.pop("found")
    answer = next(one for one in own.answers() if "made by hand" in one["claim"])
    assert answer["answer"] != "yes"


def test_all_answers_of_a_page_hold_together(ranked: Callable[..., one_shot.Study]) -> None:
    own = ranked(lambda level, rng: level)
    assert {one["level"] for one in own.answers()} == {stats.together(5)}
    assert len(own.answers()) == 5
    assert one_shot_of("--agents", "enas", "spos").level == stats.together(10)
    alone, together = own.of(ONE, "tau"), own.of(ONE, "tau", own.level)
    assert together["low"] < alone["low"] < alone["high"] < together["high"]  # type: ignore[operator]


def test_not_run_is_said_only_of_what_was_not_run(ranked: Callable[..., one_shot.Study]) -> None:
    own = ranked(lambda level, rng: level)
    assert "The paper's own experiment, PPO on two games" in own.limits()[0]
    object.__setattr__(own.args, "paper", "mazyavkina")
    (said, *_) = own.limits()
    assert "is another one" not in said
    assert "The games, the space and the settings of arXiv 2011.14632" in said
    assert "not run" not in " ".join(own.limits())


def test_what_searches_rank_highest_is_trained_from_scratch_beside_drawn_ones(tmp_path: Path) -> None:
    """On a landscape; half of the seeds choose, and no search has seen any of them."""
    folder = tmp_path / "run"
    words = ["--env-id", "ArchSearch-Synthetic-v0", "--space", "grid:3x3", "--windows", "4", "--window-steps", "2500"]
    words += ["--agents", ONE, "--seeds", "2", "--retrain", "5000", "--retrain-seeds", "6", "--sample", "5"]
    own = one_shot_of(*words, "--jobs", "1", "--draws", "20", "--out", str(folder))
    assert command.main(own) == 0
    orders = [json.loads(path.read_text())["order"] for path in (folder / "scratch").glob("*.json")]
    actions = {tuple(order["action"]) for order in orders}
    wanted = {tuple(one) for seed in own.seeds for one in (own.recommended(own.arms[ONE], seed) or [])[:3]}
    assert wanted | {tuple(one.tolist()) for one in [*trained(own).drawn, own.usual]} == actions
    assert len(trained(own).drawn) == len(own.pool) == 5
    assert all(len(order["seeds"]) == 6 for order in orders)
    assert not set(orders[0]["seeds"]) & set(own.seeds)
    assert own.truth[0].shape == own.truth[1].shape == (len(actions), 3)
    assert set(own.sets(3).ravel()) <= set(own.pool)
    assert own.paid(ONE) == 3 + int(own.steps[ONE] // 5000) > 3 + 1  # the steps of two trainings, and of the scores
    content = json.loads((folder / "study.json").read_text())
    assert any(
        "are a sample, which intervals draw anew. There are 10 distinct sets" in one for one in content["limits"]
    )
    machine = content["machine"]
    assert machine["device"] == "cpu"
    assert re.fullmatch(r"[\d,]+ environment steps without training, [\d,]+ seconds", machine["searches"])
    assert machine["from scratch"].startswith(f"{len(actions) * 6 * 5000:,} environment steps, ")


# A controller that goes on with another task


@pytest.fixture(scope="module")
def continued(tmp_path_factory: pytest.TempPathFactory) -> tuple[controller_transfer.Study, dict[str, Any]]:
    """A study on the tables that ship, without training."""
    folder = tmp_path_factory.mktemp("transfer") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("archgym.study.page.write", lambda folder: folder)
        own = transfer_of(*TABLES, "--agent", "score-keeping", "--seeds", "3", "--out", str(folder))
        assert command.main(own) == 0
    content: dict[str, Any] = json.loads((folder / "study.json").read_text())
    return own, content


def test_a_controller_goes_on_with_what_it_learned_in_its_own_repeat(
    continued: tuple[controller_transfer.Study, dict[str, Any]],
) -> None:
    own, _ = continued
    for place, seed in enumerate(own.seeds):
        args = own.search_args(own.arms["continued"], seed)
        assert str(args.start_from).endswith(f"source/{own.sources[place]}")  # type: ignore[attr-defined]
        config = json.loads((Path(str(args.out)) / "config.json").read_text())
        assert config["args"]["start_from"] == str(args.start_from)  # type: ignore[attr-defined]
        first = own.recommended(own.arms["source"], own.sources[place])
        assert first is not None
        network = own.runs["source-network"][place].actions
        assert (network == np.array(first[0])).all()
    assert not set(own.seeds) & set(own.sources)


def test_the_continued_controller_decides_otherwise_than_the_new_one_from_the_first_window(
    continued: tuple[controller_transfer.Study, dict[str, Any]],
) -> None:
    own, _ = continued
    new, more = (np.array([run.actions[0, 0] for run in own.runs[name]]) for name in ("new", "continued"))
    assert (new != more).any()


def test_on_tables_the_regret_of_what_is_recommended_is_asked_too(
    continued: tuple[controller_transfer.Study, dict[str, Any]],
) -> None:
    own, content = continued
    assert len(content["answers"]) == 3
    assert set(answers_of(content).values()) == {"undecided"}  # three repeats
    assert (own.measures["new"]["regret"] >= 0).all()
    assert any("recorded tables" in text for text in content["limits"])
    assert {one["level"] for one in content["answers"]} == {stats.together(3)}


def test_how_often_networks_are_exchanged_is_told(
    continued: tuple[controller_transfer.Study, dict[str, Any]],
) -> None:
    own, content = continued
    assert content["tables"][0]["header"][-2:] == ["switches", "oscillates"]
    rows = {row[0]: row[-2:] for row in content["tables"][0]["rows"]}
    assert rows["source-network"] == ["0 %", "0 %"]
    assert 0.8 < own.measures["random-search"]["switches"].mean() < 1


def test_what_was_looked_up_is_not_said_to_be_trained_and_the_first_task_counts_too(
    continued: tuple[controller_transfer.Study, dict[str, Any]],
) -> None:
    own, content = continued
    steps = 5 * 3 * own.args.windows * own.args.num_envs * own.problem.window_steps  # five arms, three repeats
    assert content["machine"]["searches"].startswith(f"{steps:,} environment steps without training, ")


def test_lifetimes_longer_than_a_record_are_told(continued: tuple[controller_transfer.Study, dict[str, Any]]) -> None:
    assert continued[0].repeated() == []
    (text,) = transfer_of(*TABLES, "--windows", "41").repeated()
    assert text.startswith("The table of Acrobot-v1 holds 40 windows of an architecture, and a lifetime has 41: ")
    assert transfer_of("--windows", "100").repeated() == []  # nothing is looked up


FAILING = """
from archgym.agents import score_keeping
Args = score_keeping.Args

class Agent(score_keeping.Agent):
    def learn(self, rewards, infos):
        if self.args.seed == SEED:
            raise RuntimeError("out of ideas")
        return super().learn(rewards, infos)
"""


def test_a_repeat_whose_first_search_failed_is_left_out_and_the_others_keep_their_numbers(
    continued: tuple[controller_transfer.Study, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, module = continued[0], f"failing_first_{os.getpid()}"
    (tmp_path / module).mkdir()
    (tmp_path / module / "__init__.py").write_text("")
    (tmp_path / module / "agent.py").write_text(FAILING.replace("SEED", str(whole.sources[1])))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr("archgym.study.page.write", lambda folder: folder)
    own = transfer_of(*TABLES, "--agent", f"{module}.agent", "--seeds", "3", "--out", str(tmp_path / "run"))
    assert command.main(own) == 1
    assert [one["job"] for one in own.failures] == ["source, repeat 2"]
    assert not list((tmp_path / "run" / "searches" / "new").glob(str(own.seeds[1]))), "nothing goes on without it"
    assert own.complete == [own.seeds[0], own.seeds[2]]
    for arm in controller_transfer.ARMS:
        for name, values in own.measures[arm].items():
            assert values.tolist() == whole.measures[arm][name][[0, 2]].tolist(), (arm, name)


def test_commands_on_the_page_say_what_an_arm_takes_from_the_first_task(
    continued: tuple[controller_transfer.Study, dict[str, Any]],
) -> None:
    _, content = continued
    ends = {one["name"]: one["command"].split(" --")[-1] for one in content["arms"]}
    assert ends["continued"] == "start-from SOURCE"
    assert ends["source-network"] == "architecture RECOMMENDED"
    assert all(word in " ".join(content["method"]) for word in ("SOURCE", "RECOMMENDED"))
    assert not any("SOURCE" in ends[name] or "RECOMMENDED" in ends[name] for name in ("source", "new"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--agent", "random-search"], "--agent: expected one that can go on with what another search has learned"),
        (["--source", "Acrobot-v1"], "--source: expected another task than --task 'Acrobot-v1'."),
        (["--source", "Acrobt-v1"], "Acrobt-v1"),
        (["--num-envs", "0"], "num_envs"),
        (["--inner", "windows=3"], "--inner: expected settings without a flag of their own, got windows."),
        (["--inner", "recommendations=3"], "that controller-transfer does not set itself, got recommendations."),
    ],
)
def test_what_cannot_be_continued_is_refused(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        main(["study", "controller-transfer", "--out", str(tmp_path / "none"), *words])
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_claim_is_answered_by_the_new_controller_alone(
    continued: tuple[controller_transfer.Study, dict[str, Any]],
) -> None:
    own = transfer_of("--seeds", "10", "--env-id", "ArchSearch-DQN-Tabular-v0")
    own.__dict__["complete"] = own.seeds
    noise = np.random.default_rng(0).normal(0, 1e-3, (4, 10))
    levels = {"continued": 0.5, "new": 0.4, "random-search": 0.9, "source-network": 0.1}
    measures = {
        arm: {name: level + row for name in ("area", "begin", "final", "regret")}
        for (arm, level), row in zip(levels.items(), noise, strict=True)
    }
    own.__dict__["measures"] = measures
    answers = own.answers()
    assert [one["answer"] for one in answers] == ["yes", "yes", "no"]  # of the regret less is better
    assert "random-search: -0.400" in answers[0]["note"]
    assert answers[0]["level"] == stats.together(3)
