"""Neural-architecture search for deep reinforcement learning as Gymnasium environments.

Importing this registers the environments, by string entry points: neither torch nor EnvPool is loaded.
"""

from gymnasium.envs.registration import register

__version__ = "0.1.0"

TRAINERS: dict[str, dict[str, object]] = {  # by name, with the settings that each needs
    "DQN": {},
    "PQN": {"layer_norm": True},
    "PPO": {"actor_critic": True},
    "Synthetic": {},
}

# What looks windows up instead of training them; `tabular` says that there must be a table, whatever else is given.
RECORDED: dict[str, object] = {"table": "auto", "transfer": "own", "tabular": True}

for name, needs in TRAINERS.items():
    kinds: dict[str, dict[str, object]] = {"": {}}
    if name != "Synthetic":
        kinds["-Tabular"] = RECORDED
    for kind, more in kinds.items():
        register(
            id=f"ArchSearch-{name}{kind}-v0",
            entry_point="archgym.envs.single:ArchSearchEnv",
            vector_entry_point="archgym.envs.vector:ArchSearchVectorEnv",
            kwargs={"trainer": name.lower(), **needs, **more},
        )
        register(
            id=f"ArchSearch-{name}{kind}-Sequential-v0",
            entry_point="archgym.envs.sequential:SequentialEnv",
            vector_entry_point="archgym.envs.sequential:SequentialVectorEnv",
            kwargs={"trainer": name.lower(), **needs, **more},
        )
register(
    id="NASDQNPendulum-v0",
    entry_point="archgym.inner.pendulum:Pendulum",
    vector_entry_point="archgym.inner.pendulum:PendulumVector",
    max_episode_steps=500,
)
register(
    id="Orchard-v0",
    entry_point="archgym.inner.orchard:Orchard",
    vector_entry_point="archgym.inner.orchard:OrchardVector",
    max_episode_steps=100,
)
