"""What one window of one member came to: plain numbers, the same for training and for a table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WindowResult:
    """One evaluation of an architecture."""

    action: list[int]
    """The architecture, one option index per choice."""
    reward: float
    """What the agent gets, limited to [-1, 2]."""
    raw_return: float
    """Mean return that the reward stands on: of the window's episodes, or of the greedy evaluation."""
    normalised_return: float
    """The raw return with 0 = random policy and 1 = reference; not limited."""
    episodes: int
    """Episodes that ended in the window."""
    cut_share: float
    """Share of the window's episodes that its end cut short."""
    env_steps: int
    """Inner environment steps, those that only reset an environment and those of an evaluation included."""
    gradient_steps: int
    """Gradient steps."""
    parameters: int
    """Trainable parameters of the subnet."""
    flops: int
    """Floating-point operations of one forward pass."""
    diverged: bool
    """Whether weights stopped being finite; the window's training was then thrown away."""
    loss: float
    """Mean TD loss of the window's gradient steps; of an actor-critic the mean squared error of its values."""
    value: float
    """Mean value of the actions in the minibatches; of an actor-critic that of the observations."""
    epsilon: float
    """Exploration rate at the window's end; 0 where actions are drawn from a policy."""
    replay_fill: float
    """Share of the replay that is filled."""
    switched: bool
    """Whether another architecture was trained in the window before."""
    from_table: bool = False
    """Whether the numbers were looked up instead of trained."""
