"""The pictures: what is lit, what is dimmed, and what a frame costs."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from archgym.pages import drawing
from archgym.pages.drawing import CHOSEN, DATA, Point
from archgym.search_space import Choice, SearchSpace
from archgym.search_spaces import mlp, mlp_wide

EXTRA = (
    Choice("optimizer_kind", ("adam", "rmsprop", "stochastic_gradient_descent")),
    Choice("dueling", (False, True)),
    Choice("$heads$", tuple(range(1, 7))),
    Choice("initialisation", ("orthogonal", "uniform")),
)
TWELVE = replace(
    mlp_wide.SPACE,
    name="twelve",
    choices=(*mlp_wide.SPACE.choices, *EXTRA),
    default={**mlp_wide.SPACE.default, **{choice.name: choice.options[0] for choice in EXTRA}},
)
SPACES = pytest.mark.parametrize("space", [mlp.SPACE, mlp_wide.SPACE, TWELVE], ids=lambda space: str(space.name))


@pytest.fixture
def axes() -> Axes:
    return Figure(figsize=(9.0, 3.0)).add_subplot()


def rewards(windows: int = 24, members: int = 16) -> Any:
    return np.random.default_rng(0).normal(0.5, 0.3, (windows, members))


def boxes(axes: Axes) -> dict[tuple[float, float], FancyBboxPatch]:
    """Map the middles of the boxes of a supernet to them."""
    found = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    low = [(box.get_x(), box.get_y(), box.get_width(), box.get_height()) for box in found]
    return {(round(x + w / 2, 3), round(y + h / 2, 3)): box for (x, y, w, h), box in zip(low, found, strict=True)}


def lit(axes: Axes) -> list[tuple[float, float]]:
    return [place for place, box in boxes(axes).items() if to_hex(box.get_facecolor()).upper() == CHOSEN]


def words(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


@SPACES
def test_one_box_is_lit_for_each_active_choice_and_the_path_runs_through_them(axes: Axes, space: SearchSpace) -> None:
    for seed in range(5):
        axes.clear()
        architecture = space.sample(np.random.default_rng(seed))
        drawing.draw_supernet(axes, space, architecture)
        active = [place for place, choice in enumerate(space.choices) if choice.name in space.describe(architecture)]
        expected = [(place, architecture[place] - (space.counts[place] - 1) / 2) for place in active]
        assert np.allclose(lit(axes), expected)
        assert np.allclose(axes.lines[0].get_xydata(), expected)


@SPACES
def test_every_option_of_every_choice_is_written(axes: Axes, space: SearchSpace) -> None:
    drawing.draw_supernet(axes, space, None)
    assert len(words(axes)) == sum(space.counts) + len(space.choices)
    assert not lit(axes)
    assert not axes.lines


def test_the_width_of_a_layer_that_is_not_there_is_pale(axes: Axes) -> None:
    drawing.draw_supernet(axes, mlp_wide.SPACE, mlp_wide.SPACE.default_architecture)
    color = {text.get_text(): text.get_color() for text in axes.texts}
    assert color["width\n2"] != color["width\n4"]


def test_the_text_of_a_large_supernet_stays_within_its_boxes(axes: Axes) -> None:
    drawing.draw_supernet(axes, TWELVE, None)
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    written = {text.get_position(): text for text in axes.texts}
    assert len(boxes(axes)) == sum(TWELVE.counts)
    for place, box in boxes(axes).items():
        frame, text = box.get_window_extent(), written[place].get_window_extent()
        assert frame.x0 <= text.x0 <= text.x1 <= frame.x1, written[place].get_text()
        assert frame.y0 <= text.y0 <= text.y1 <= frame.y1, written[place].get_text()


def test_dollar_signs_are_no_mathematics(axes: Axes) -> None:
    drawing.draw_supernet(axes, TWELVE, None)
    assert r"\$heads\$" in words(axes)


def test_the_thick_line_is_the_median_of_the_members(axes: Axes) -> None:
    values = rewards()
    drawing.draw_returns(axes, values)
    line = next(line for line in axes.lines if line.get_color() == DATA)
    assert np.allclose(line.get_ydata(), np.median(values, axis=1))
    assert axes.get_xlabel() == "window"
    assert axes.get_ylabel() == "normalised return"
    assert {text.get_text() for text in axes.texts} == {"random", "reference"}


def test_members_with_fewer_windows_are_left_out_of_the_later_medians(axes: Axes) -> None:
    values = rewards(6, 3)
    values[4:, 2] = np.nan
    drawing.draw_returns(axes, values)
    line = next(line for line in axes.lines if line.get_color() == DATA)
    assert np.allclose(line.get_ydata(), [*np.median(values[:4], axis=1), *values[4:, :2].mean(1)])


def test_a_heat_map_has_a_row_per_option_and_a_column_per_window(axes: Axes) -> None:
    shares = np.array([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]])
    drawing.heat_map(axes, mlp.SPACE.choices[1], shares)
    assert np.allclose(np.asarray(axes.images[0].get_array()), shares.T)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["32", "64", "128"]
    assert axes.get_title(loc="left") == "width"


def test_the_pareto_front_holds_what_nothing_smaller_beats(axes: Axes) -> None:
    points = [Point(100, 0.1, 3), Point(200, 0.05, 1), Point(400, 0.3, 9), Point(900, 0.2, 2)]
    drawing.draw_trade_off(axes, points, points[2], 500)
    front = next(line for line in axes.lines if line.get_label() == "Pareto front")
    assert np.allclose(np.asarray(front.get_xydata()), [(100, 0.1), (400, 0.3), (900, 0.3)])


@SPACES
def test_a_frame_is_an_rgb_picture_and_repeats_bit_for_bit(space: SearchSpace) -> None:
    picture = drawing.frame(space, space.default_architecture, rewards())
    assert picture.shape == (400, 960, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, drawing.frame(space, space.default_architecture, rewards()))
    assert not np.array_equal(picture, drawing.frame(space, None, rewards()))


@pytest.mark.parametrize(("windows", "members"), [(0, 0), (0, 4), (1, 1), (1, 4), (2, 1)])
def test_a_frame_can_be_drawn_from_the_first_window_on(windows: int, members: int) -> None:
    assert drawing.frame(mlp.SPACE, None, rewards(windows, members)).std() > 0


def test_drawing_leaves_pyplot_and_its_global_state_alone() -> None:
    code = "import sys, archgym.pages.drawing; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
