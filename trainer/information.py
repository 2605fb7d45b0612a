"""What columns of whole numbers know of each other, in nats: codes in bins, and factors of variation.

Letters in shapes: n images, d latent dimensions, f factors.
"""

from __future__ import annotations

import numpy as np

BINS = 20  # equal-width bins of each dimension (Locatello et al. 2019)


def binned(codes: np.ndarray, bins: int = BINS) -> np.ndarray:
    """(n, d) -> the number of the equal-width bin of each code, 0 … bins−1."""
    low, width = codes.min(0), np.ptp(codes, axis=0)
    return np.minimum((codes - low) / np.where(width > 0, width, 1) * bins, bins - 1).astype(int)


def mutual_information(codes: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """(d, f) nats between each column of whole numbers (n, d) and each of (n, f)."""
    return np.array([[_information(code, factor) for factor in factors.T] for code in codes.T])


def entropies(factors: np.ndarray) -> np.ndarray:
    """(f,) nats of each column of whole numbers (n, f)."""
    return np.array([_entropy(np.bincount(column)) for column in factors.T])


def gaps(information: np.ndarray) -> np.ndarray:
    """(d, f) -> (f,) how much more the best dimension has of a factor than the next one, if there is one."""
    best = np.sort(np.vstack([information, np.zeros_like(information[:1])]), axis=0)
    return best[-1] - best[-2]


def _information(one: np.ndarray, other: np.ndarray) -> float:
    shape = int(one.max()) + 1, int(other.max()) + 1
    joint = np.bincount(one * shape[1] + other, minlength=shape[0] * shape[1]).reshape(shape)
    return max(0.0, _entropy(joint.sum(1)) + _entropy(joint.sum(0)) - _entropy(joint))


def _entropy(counts: np.ndarray) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())
