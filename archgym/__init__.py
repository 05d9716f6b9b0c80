"""Neural-architecture search for deep reinforcement learning as Gymnasium environments.

Importing this registers the environments, by string entry points: neither torch nor EnvPool is loaded.
"""

from gymnasium.envs.registration import register

__version__ = "0.1.0"

for name, trainer in (("DQN", "dqn"), ("Synthetic", "synthetic")):
    register(
        id=f"ArchSearch-{name}-v0",
        entry_point="archgym.envs.single:ArchSearchEnv",
        vector_entry_point="archgym.envs.vector:ArchSearchVectorEnv",
        kwargs={"trainer": trainer},
    )
    register(
        id=f"ArchSearch-{name}-Sequential-v0",
        entry_point="archgym.envs.sequential:SequentialEnv",
        vector_entry_point="archgym.envs.sequential:SequentialVectorEnv",
        kwargs={"trainer": trainer},
    )
register(
    id="NASDQNPendulum-v0",
    entry_point="archgym.pendulum:Pendulum",
    vector_entry_point="archgym.pendulum:PendulumVector",
    max_episode_steps=500,
)
