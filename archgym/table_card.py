"""The data card of a recorded table: what it holds and how it was made, as JSON beside the numbers.

A table is two files of one name: `NAME.npz` (the numbers) and `NAME.json` (the card). Those that come with archgym are
found by trainer, space and task. Reading a card loads no numbers.
"""

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_origin

from archgym.files import stem
from archgym.lookup import unknown

SCHEMA = 1
HALF = ".half"  # ending of a file that is being written
LICENCE = "CC0-1.0"
SHIPPED = Path(__file__).parent / "tables"
AUTO = "auto"  # the shipped table of trainer, space and task
NAMED = ("trainer", "space", "task")  # settings that a table is found by
LATER = {"actor_critic": False}  # settings that the first cards were made without, and what they mean
FIXED = ("window_steps", "horizon", "envs_per_member", "layer_norm", "preset", *LATER)  # that a record is bound to
SCALE = ("random_return", "reference_return")  # returns that earn 0 and 1: those of the record, unless others are given
IDLE = ("device", "learner", "threads", "exact", "evaluation_episodes")  # settings that mean nothing on a table
OF_SUPERNETS = {"seeds", "ages", "episodes"}  # what a card with shared-weight scores tells about them


@dataclass(frozen=True)
class Card:
    """What a table holds and how it was made."""

    settings: dict[str, Any]
    """Of the training (`archgym.settings.Settings`): `windows` is the length of every learning curve."""
    choices: list[tuple[str, list[Any]]]
    """Names and options of the search space, which one of the same name must still have."""
    architectures: int
    """How many there are."""
    sample: str
    """How the architectures were chosen."""
    seed: int
    """Root of the seeds and of the sample."""
    seeds: list[int]
    """Of the lifetimes: one learning curve per architecture and seed. The first half is for searches, the second for
    `best` and `regret`; a seed keeps its side when the table grows."""
    ages: list[int]
    """Windows after which every network was evaluated greedily."""
    episodes: int
    """Of one greedy evaluation."""
    supernet: dict[str, Any]
    """How the shared-weight scores were made (`seeds`, `ages` in windows, `episodes`); empty where there are none."""
    computed: dict[str, str]
    """Processor, learner and versions; elsewhere training gives other numbers in their last bits. Also the trainer's
    settings in full (`trainer`). What was not the same for all rows is given as `one; other`."""
    command: str
    """What made it."""
    seconds: float
    """CPU-seconds of all learners' windows of training together. Greedy evaluations and supernets are not in it."""
    schema: int = SCHEMA
    licence: str = LICENCE
    checksum: str = field(default="", compare=False)
    """SHA-256 of the numbers' file and of this card without the checksum."""

    @property
    def search_seeds(self) -> int:
        """How many seeds are for searches; the others are for `best` and `regret`."""
        return len(self.seeds) // 2

    def text(self) -> str:
        """Give the card as JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def check_of(self, numbers: bytes) -> str:
        """Compute the checksum of the card with these numbers."""
        own = json.dumps({**asdict(self), "checksum": ""}, sort_keys=True)
        return hashlib.sha256(numbers + own.encode()).hexdigest()


def name_of(settings: Mapping[str, Any]) -> str:
    """Name the table of such settings: trainer, space and task."""
    return "--".join(stem(str(settings[name])) for name in NAMED)


def shipped() -> list[str]:
    """List the tables that come with archgym."""
    return sorted(path.stem for path in SHIPPED.glob("*.json"))


def lines() -> list[str]:
    """Describe the tables that come with archgym, a line each."""
    found = []
    for name in shipped():
        card = read(SHIPPED / f"{name}.npz")
        steps = card.settings["windows"] * card.settings["window_steps"]
        found.append(
            f"  {name:<30} {card.architectures} architectures ({card.sample}), {len(card.seeds)} seeds, "
            f"{card.settings['windows']} windows, {steps:,} steps"
        )
    return found or ["  none"]


def find(table: str, settings: Mapping[str, Any]) -> Path:
    """Find the file of a table's numbers.

    Args:
        table: A file, the name of a shipped table, or `auto`: the shipped one of these settings.
        settings: `trainer`, `space` and `task`.

    Raises:
        ValueError: If there is none.
    """
    if not isinstance(table, str):
        raise ValueError(f"table: expected a file (.npz) or one of {_installed()}, got {table!r}.")
    if table == AUTO and not {*NAMED} <= {*settings}:
        raise ValueError(
            f"table: expected a file (.npz) or one of {_installed()}; got 'auto', which stands for the table of an "
            "environment's trainer, space and task, and here is none."
        )
    name = name_of(settings) if table == AUTO else table
    if name in shipped():
        return SHIPPED / f"{name}.npz"
    path = Path(table)
    if table != AUTO and path.suffix == ".npz":
        if path.is_dir():
            raise ValueError(f"table: expected a file (.npz), but {table} is a folder.")
        if not path.exists():
            raise ValueError(f"table: there is no file {table}.")
        return path
    if table == AUTO:
        flags = " ".join(f"--{flag} {settings[flag]}" for flag in NAMED)
        raise ValueError(
            f"table: none comes with archgym for trainer {settings['trainer']!r}, space {settings['space']!r} and task "
            f"{settings['task']!r}, only {_installed()}. `archgym table build {flags}` records one, to be given as "
            "table=FILE (--table)."
        )
    near = difflib.get_close_matches(name, shipped(), n=1)
    raise ValueError(
        f"table: expected a file (.npz) or one of {_installed()}; "
        f"got {name!r}.{''.join(f' Did you mean {one!r}?' for one in near)} `archgym table build` records a new one."
    )


def _installed() -> str:
    """Name the tables that come with archgym, for a sentence."""
    return ", ".join(shipped()) or "none (no table is installed)"


def read(path: Path) -> Card:
    """Read the card of a table.

    Args:
        path: The file of its numbers; the card lies beside it.

    Raises:
        ValueError: If there is no card, or it is damaged, newer than this archgym, or something else.
    """
    file = path.with_suffix(".json")
    if not file.exists():
        raise ValueError(f"table: expected the data card {file} beside {path.name}, found none.")
    return parse(file.read_bytes(), file)


def parse(content: bytes, file: Path) -> Card:
    """Read a card from the content of its file; raises as `read`."""
    try:
        found = json.loads(content)
    except ValueError as error:
        raise ValueError(f"table: the data card {file} is damaged ({error}).") from error
    schema = found.get("schema") if isinstance(found, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise ValueError(f"table: {file} has schema {schema}; this archgym reads up to {SCHEMA}. Install a newer one.")
    kinds: dict[str, Any] = {one.name: get_origin(one.type) or one.type for one in fields(Card)}
    if not isinstance(found, dict) or schema is None:
        raise ValueError(f"table: {file} is no data card of archgym.")
    if odd := sorted(kinds.keys() ^ found.keys()):
        raise ValueError(f"table: {file} is no data card of archgym (differs in {', '.join(odd)}).")
    for name, kind in kinds.items():
        if not isinstance(found[name], (int, float) if kind is float else kind) or isinstance(found[name], bool):
            raise ValueError(f"table: {name} in {file}: expected {kind.__name__}, got {found[name]!r}.")
    needed = {*NAMED, *FIXED, "windows", "trainer_settings"} - set(LATER)
    if missing := sorted(needed - set(found["settings"])):
        raise ValueError(f"table: the settings in {file} lack {', '.join(missing)}.")
    if not all(isinstance(one, list) and len(one) == 2 for one in found["choices"]):
        raise ValueError(f"table: choices in {file}: expected pairs of a name and its options, got {found['choices']}.")
    if found["supernet"] and (lacking := sorted(OF_SUPERNETS - {*found["supernet"]})):
        raise ValueError(f"table: supernet in {file} lacks {', '.join(lacking)}.")
    return Card(**{**found, "choices": [(name, options) for name, options in found["choices"]]})


def complete(keywords: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Add what a table was recorded with to keywords of an environment.

    Args:
        keywords: With `table`; others as given.
        defaults: Of the settings that are not given.

    Returns:
        The keywords, with those that the record is bound to.

    Raises:
        ValueError: If there is no such table, or a keyword is given that differs from the record, or says how something
            is computed that is not.
    """
    card = read(find(keywords["table"], {**defaults, **keywords}))
    named = {name: value for name, value in card.settings.items() if name in NAMED}
    if keywords["table"] == AUTO:
        named = {}
    bound = {**named, **{name: {**LATER, **card.settings}[name] for name in FIXED}}
    bound["horizon"] = card.settings["horizon"] or card.settings["windows"] * card.settings["window_steps"]
    trained, full = card.settings["trainer_settings"], _trainer(card)
    extra = {name: value for name, value in keywords.items() if name not in defaults}
    for name, value in {**extra, **keywords.get("trainer_settings", {})}.items():
        if full and name not in {*full, *trained}:
            raise unknown("environment keyword or trainer setting", name, [*full, *defaults])
        if (trained[name] != value) if name in trained else (full.get(name) not in _written(value)):
            known = repr(trained[name]) if name in trained else full.get(name, "its default")
            raise ValueError(
                f"{name}: the table was recorded with {known}, got {value!r}. Networks "
                f"can be trained otherwise without a table (ArchSearch-{card.settings['trainer'].upper()}-v0)."
            )
    for name in IDLE:
        if keywords.get(name, defaults[name]) not in (defaults[name], card.settings.get(name)):
            raise ValueError(
                f"{name}: expected {defaults[name]!r} with a table, where windows are looked up and nothing is "
                f"computed, got {keywords[name]!r}."
            )
    bound["window_steps"] = _window_steps(card, keywords.get("window_steps"))
    for name, value in bound.items():
        if name in keywords and keywords[name] not in (None, value):
            raise ValueError(f"{name}: expected {value!r}, which the table was recorded with, got {keywords[name]!r}.")
    bound |= {name: card.settings.get(name) for name in SCALE if keywords.get(name) is None}
    return {**{n: v for n, v in keywords.items() if n not in extra}, **bound, "trainer_settings": dict(trained)}


def _window_steps(card: Card, asked: Any) -> int:
    """Give the length of a window: the recorded one, or one of several recorded windows, by which they divide.

    Raises:
        ValueError: If another one is asked for.
    """
    own, windows = int(card.settings["window_steps"]), card.settings["windows"]
    if asked is None:
        return own
    whole = isinstance(asked, int) and not isinstance(asked, bool) and asked > 0 and asked % own == 0
    if not whole or windows % (asked // own):
        raise ValueError(
            f"window_steps: expected {own:,}, which the table was recorded with, or several of its {windows} windows "
            f"by which they divide, up to a whole training of {own * windows:,}; got {asked!r}."
        )
    return int(asked)


def _trainer(card: Card) -> dict[str, str]:
    """Read all settings of the trainer that a table was recorded with, defaults included; early cards lack them."""
    return dict(pair.split("=", 1) for pair in card.computed.get("trainer", "").split() if "=" in pair)


def _written(value: object) -> set[str]:
    """Write a setting as a card has it; a whole number may stand for a real one."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return {str(value), str(float(value))} if whole else {str(value)}  # type: ignore[arg-type]
