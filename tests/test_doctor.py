"""`archgym doctor --speed`: figures against bounds. What `archgym doctor` checks is in test_command_line.py."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from archgym import doctor, speed
from archgym.settings import Settings

TOY = speed.Effort(seconds=0.01, pools=(2,), members=(1, 2), steps=400, rounds=1)


def test_speed_prints_every_figure_with_a_sentence_of_reading_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert speed.main(TOY) == 0
    said = capsys.readouterr().out
    blocks = said.split("\n\n")
    assert len(blocks) == 4  # the machine, and three tables
    for block in blocks[1:]:
        rows = [line for line in block.splitlines() if line.startswith("  ")]
        assert rows
        assert all(re.search(r"\d", row) for row in rows)
        assert block.strip().splitlines()[-1].endswith(".")
    for name in speed.learners():
        for members in TOY.members:
            assert re.search(rf"^  {name}, K={members} +[\d,]+ +\d+%$", said, re.MULTILINE)


def test_the_share_of_the_bound_is_the_speed_over_the_bound(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A gradient step of 128-128 takes 4 x 2 x 128 x 128 x 128 operations, and there is one per 10 environment steps.
    flops = 8 * 128**3
    monkeypatch.setattr(speed, "best_speed", lambda products, seconds: 1000.0 * flops)
    monkeypatch.setattr(speed, "learner_speed", lambda members, effort, keywords: 2500.0)
    speed.main(TOY)
    said = capsys.readouterr().out
    assert "at most 10,000 environment steps per CPU-second" in said
    assert re.search(r"K=1 +2,500 +25%", said)


def test_speed_is_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_device", torch.device)
    with pytest.raises(ValueError, match=r"--speed: expected --device cpu \(it measures one core\), got 'meta'"):
        doctor.main(doctor.Args(device="meta", speed=True))


def test_doctor_measures_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "main", lambda: 17)
    assert doctor.main(doctor.Args(speed=True)) == 17


def test_checks_fail_without_assertions_too() -> None:
    code = (
        "from archgym import doctor\n"
        "doctor.SETTINGS['learning_rate'] = 1e-12\n"
        "try: print(doctor.changed_weights('cpu'))\n"
        "except doctor.Failed as error: print('found:', error)\n"
    )
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("found: only "), done.stderr


@pytest.mark.parametrize("hidden", [(120, 84), (128, 64, 32)])
def test_products_have_as_many_operations_as_they_say(hidden: tuple[int, ...]) -> None:
    products = speed.hidden_products(hidden, 16)
    with FlopCounterMode(display=False) as counter:
        products.run()
    assert counter.get_total_flops() == products.flops


def test_hidden_products_are_those_of_a_gradient_step() -> None:
    n, m, batch = 120, 84, 128
    layer = torch.nn.Linear(n, m, bias=False)
    x = torch.randn(batch, n, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        with torch.no_grad():
            layer(x)  # the target network's
        layer(x).sum().backward()
    assert speed.hidden_products((n, m), batch).flops == counter.get_total_flops()


def test_a_single_hidden_layer_has_no_products_between_layers() -> None:
    with pytest.raises(ValueError, match="expected at least two hidden layers, got 1"):
        speed.hidden_products((64,), 128)


def test_the_best_part_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.02, *np.linspace(2.0, 0.5, 10)])
    monkeypatch.setattr(speed, "timed", lambda run, repeats=1: next(times))
    assert speed.best_speed(speed.Products(lambda: None, 100), 0.1) == 200.0


def test_learners_are_settings_of_the_environment_and_torch_comes_first() -> None:
    learners = speed.learners()
    assert next(iter(learners)) == "torch"
    for name, keywords in learners.items():
        assert Settings.from_keywords(keywords).learner == name
