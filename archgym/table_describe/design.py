"""Which choices decide: the variance between the architectures of a table, shared out to choices and pairs of them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from archgym.search_space import Architecture, SearchSpace
from archgym.table_describe.stats import NOTHING, layout, mean_squares


class Design:
    """Shares the variance between architectures out to single choices and pairs of them.

    Least squares on indicators of the levels. A choice's part is what it explains beside all other choices, a pair's
    what it explains beside all choices; the noise of the seeds is taken off by its degrees of freedom, as in epsilon
    squared (Kelley 1935). Where every combination of levels is there once, these are the marginals of functional
    analysis of variance (Hutter et al. 2014, "An Efficient Approach for Assessing Hyperparameter Importance"), exactly.

    A choice that is inactive under some options of another (a width, where the depth has no such layer) is nested in
    that one, and the parts respect it, as sums of squares of type II do (Nelder 1977, "A Reformulation of Linear
    Models"): what decides is judged beside the choices alone that are not nested in it, for the nested ones tell
    already how it was decided; and a pair is judged beside the pairs of what decides about its two as well, so that how
    a depth goes with an activation is not put down to a width that only this depth has. Which level an inactive choice
    is given makes no difference then: what decides about it stands in every comparison, and tells as much.

    Args:
        levels: (architectures, choices), options.
        deciding: By position of a choice that can be inactive, the positions of those that decide it (`deciding`).
    """

    def __init__(self, levels: ArrayLike, deciding: Mapping[int, Collection[int]] | None = None) -> None:
        codes, above = np.asarray(levels), deciding or {}
        choices = range(codes.shape[1])

        def basis(terms: Collection[tuple[int, ...]]) -> NDArray[np.float64]:
            return _basis([_indicators(codes[:, list(term)]) for term in terms])

        beside: dict[tuple[int, ...], list[tuple[int, ...]]] = {}  # by term, those that it is judged beside
        for choice in choices:
            nested = {other for other in choices if choice in above.get(other, ())}
            beside[choice,] = [(other,) for other in choices if other not in {choice, *nested}]
        for pair in combinations(choices, 2):
            first, second = ({choice, *above.get(choice, ())} for choice in pair)
            mixed = {(min(i, j), max(i, j)) for i in first for j in second if i != j} - {pair}
            beside[pair] = [*((choice,) for choice in choices), *sorted(mixed)]
        self.models = {term: (basis([*others, term]), basis(others)) for term, others in beside.items()}
        kinds = len(np.unique(codes, axis=0))
        self.balanced = kinds == len(codes) == int(np.prod([len(np.unique(column)) for column in codes.T]))

    def shares(self, scores: ArrayLike) -> dict[tuple[int, ...], float]:
        """Give the shares by positions of choices: (i,) and (i, j).

        They may be below 0 by chance, and sum to less than 1 where three or more choices act together. All 0 where
        there is nothing but noise.

        Args:
            scores: (architectures, seeds), at least 2 of each.
        """
        values = layout(scores)
        means, noise = values.mean(1), mean_squares(values)[2] / values.shape[1]
        means = means - means.mean()
        signal = float((means**2).sum()) - noise * (len(means) - 1)
        found = {
            term: _explained(own, means) - _explained(others, means) - noise * (own.shape[1] - others.shape[1])
            for term, (own, others) in self.models.items()
        }
        return {term: value / signal if signal > NOTHING else 0.0 for term, value in found.items()}


def deciding(space: SearchSpace, architectures: Iterable[Architecture]) -> dict[int, frozenset[int]]:
    """List, by position of every choice that is inactive somewhere, the positions of those that decide it."""
    found: dict[int, frozenset[int]] = {}
    for architecture in architectures:
        for position in space.inactive_positions(architecture):
            own = frozenset(space.deciding_positions(architecture)) - {position}
            found[position] = found.get(position, frozenset()) | own
    return found


def _indicators(codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """One column per combination of levels that occurs."""
    kinds, which = np.unique(codes, axis=0, return_inverse=True)
    return np.eye(len(kinds))[which.ravel()]


def _basis(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Give orthonormal columns that span indicators less their means, (architectures, degrees of freedom)."""
    if not parts:
        return np.zeros((0, 0))
    columns = np.concatenate(parts, axis=1)
    left, sizes, _ = np.linalg.svd(columns - columns.mean(0), full_matrices=False)
    return np.asarray(left[:, sizes > 1e-9 * max(1.0, float(sizes[0]))])


def _explained(basis: NDArray[np.float64], means: NDArray[np.float64]) -> float:
    """Give the sum of squares of centred means that a basis explains."""
    return float(((basis.T @ means) ** 2).sum()) if basis.size else 0.0
