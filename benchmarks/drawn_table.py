"""A table of drawn numbers in the shape of one that ships: what is timed does not depend on them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from archgym import table as tables
from archgym.problem import Problem
from archgym.table import Table
from archgym.table_card import Card
from archgym.table_file import COLUMNS
from archgym.table_tools.plan import settings_of


def write(path: Path, count: int = 27) -> None:
    """Write a table of drawn numbers: 10 seeds, 40 windows."""
    rng = np.random.default_rng(0)
    settings = settings_of({"space": "mlp" if count <= 27 else "mlp-wide", "windows": 40, "window_steps": 2_500})
    space = Problem(settings).space
    vectors = np.stack(list(space.enumerate()))
    architectures = vectors if len(vectors) == count else rng.permutation(vectors)[:count]
    shape = (len(architectures), 10, 40)
    columns: dict[str, Any] = {name: rng.random(shape).astype(kind) for name, kind in COLUMNS.items()}
    columns |= {"raw_return": rng.uniform(20, 500, shape), "diverged": np.zeros(shape, dtype=np.bool_)}
    columns["env_steps"][...] = 2_500
    card = Card(
        settings=json.loads(json.dumps(settings.to_dict())),
        choices=[(choice.name, list(choice.options)) for choice in space.choices],
        architectures=len(architectures),
        sample="drawn numbers",
        seed=0,
        seeds=list(range(10)),
        ages=[40],
        episodes=10,
        supernet={},
        computed={},
        command="",
        seconds=0.0,
    )
    tables.save(Table(card, architectures, columns, rng.uniform(20, 500, (*shape[:2], 1))), path)
