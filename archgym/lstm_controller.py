"""The LSTM of Zoph & Le (arXiv 1611.01578) and ENAS (1802.03268): a distribution over the architectures of a space.

It reads the option that it chose last and gives the logits of the next choice; its state is carried from decision to
decision, so a choice depends on all before it. Options that lead to no architecture are masked. Agents train it.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from archgym.search_space import Architecture, SearchSpace

ENUMERATED = 100_000  # spaces up to this many option vectors are ranked whole
DRAWN = 4_096  # samples that stand in for larger ones


class Controller(nn.Module):
    """The policy over architectures.

    Args:
        space: Whose architectures.
        hidden_size: Units of the LSTM, and numbers that a word is embedded in.
        temperature: Logits are divided by this.
        tanh_constant: Logits are limited to plus and minus this by a tanh; None: not.
    """

    def __init__(self, space: SearchSpace, hidden_size: int, temperature: float, tanh_constant: float | None) -> None:
        super().__init__()
        self.space, self.temperature, self.tanh_constant = space, temperature, tanh_constant
        self.embed = nn.Embedding(1 + sum(space.counts), hidden_size)  # 0: the start
        self.offsets = np.cumsum([1, *space.counts[:-1]])
        self.lstm = nn.LSTMCell(hidden_size, hidden_size)
        self.heads = nn.ModuleList(nn.Linear(hidden_size, count) for count in space.counts)

    @property
    def settings(self) -> dict[str, float]:
        """What its weights are read with: under other settings equal weights are another policy."""
        return {"temperature": self.temperature, "tanh_constant": self.tanh_constant or math.inf}

    def forward(
        self, count: int, given: NDArray[np.int64] | None = None, rng: np.random.Generator | None = None
    ) -> tuple[NDArray[np.int64], Tensor, Tensor]:
        """Sample `count` architectures, or score given ones.

        Returns:
            Architectures (count, choices), their log probabilities (count,), and the entropies on the way (count,).
        """
        chosen = np.zeros((count, 0), dtype=np.int64)
        state = (torch.zeros(count, self.lstm.hidden_size), torch.zeros(count, self.lstm.hidden_size))
        token = torch.zeros(count, dtype=torch.int64)
        log_probability, entropy = torch.zeros(count), torch.zeros(count)
        for choice, head in enumerate(self.heads):
            state = self.lstm(self.embed(token), state)
            logits = head(state[0]) / self.temperature  # (count, options)
            if self.tanh_constant is not None:
                logits = self.tanh_constant * torch.tanh(logits)
            allowed = torch.from_numpy(np.stack([self.space.mask(prefix) for prefix in chosen.tolist()]) > 0)
            logs = logits.masked_fill(~allowed, -torch.inf).log_softmax(-1)
            probabilities = logs.exp()
            if given is not None:
                index = given[:, choice]
            else:
                assert rng is not None, "sampling needs a generator"
                cumulative = probabilities.detach().double().numpy().cumsum(-1)
                draw = rng.random((count, 1)) * cumulative[:, -1:]
                index = (cumulative <= draw).sum(-1)
            picked = torch.from_numpy(index)
            log_probability = log_probability + logs.gather(-1, picked[:, None])[:, 0]
            entropy = entropy - (probabilities * logs.masked_fill(~allowed, 0.0)).sum(-1)
            chosen = np.concatenate([chosen, index[:, None]], axis=1)
            token = picked + int(self.offsets[choice])
        return chosen, log_probability, entropy


def drawn(
    space: SearchSpace, hidden_size: int, temperature: float, tanh_constant: float | None, rng: np.random.Generator
) -> Controller:
    """Make a controller whose initial weights follow from a generator; torch's own is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        return Controller(space, hidden_size, temperature, tanh_constant)


@torch.no_grad()
def most_probable(controller: Controller, k: int, rng: np.random.Generator) -> list[Architecture]:
    """Give the k most probable architectures: of all of them, or of 4,096 draws where there are too many."""
    space = controller.space
    if np.prod(space.counts, dtype=np.float64) <= ENUMERATED:
        candidates = np.stack(list(space.enumerate()))
    else:
        candidates = np.unique(controller(DRAWN, rng=rng)[0], axis=0)
    scores = controller(len(candidates), given=candidates)[1].numpy()
    return [candidates[index] for index in np.argsort(-scores, kind="stable")[:k]]
