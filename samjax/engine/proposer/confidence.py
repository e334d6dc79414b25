"""The calibrated score of a mask: the probability that it is right.

SAM's thresholds of predicted IoU (0.88) and stability (0.95) do not carry over to other
models. A logistic regression of both, with the size of the mask, the score of its prompt
and the number of other prompts that gave the same mask, is fitted on images that the head
was not trained on; its few parameters need few masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

NUM_FEATURES = 6
_RIDGE = 1.0
_STEPS = 50


@dataclass(frozen=True, eq=False)
class Confidence:
    """A logistic regression on standardized features.

    Attributes:
        mean: Means of the features.
        scale: Their deviations.
        weights: Weights.
        bias: Bias.
    """

    mean: Float[np.ndarray, " f"]
    scale: Float[np.ndarray, " f"]
    weights: Float[np.ndarray, " f"]
    bias: float

    def of(self, features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, " n"]:
        """Returns the probability of each mask to be right."""
        logits = ((features - self.mean) / self.scale) @ self.weights + self.bias
        return _sigmoid(logits)

    def to_json(self) -> dict[str, Any]:
        """Returns the numbers as JSON types."""
        return {
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "weights": self.weights.tolist(),
            "bias": self.bias,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Confidence:
        """Returns the score of such numbers.

        Raises:
            ValueError: They are none.
        """
        try:
            mean, scale, weights = arrays = [
                np.array(content[name], float) for name in ("mean", "scale", "weights")
            ]
            made = cls(mean, scale, weights, float(content["bias"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"got a confidence without its numbers ({error!r}), expected mean, "
                "scale, weights and bias"
            ) from error
        if any(array.shape != (NUM_FEATURES,) for array in arrays):
            raise ValueError(
                f"got a confidence of {arrays[0].shape} features, expected "
                f"{NUM_FEATURES}: calibrate again with this version"
            )
        return made


def fit_confidence(
    features: Float[np.ndarray, "n f"], right: Bool[np.ndarray, " n"]
) -> Confidence:
    """Fits the regression on masks of images that the head was not trained on.

    Args:
        features: Features of masks.
        right: Whether each is right.

    Raises:
        ValueError: There are no masks.
    """
    if not len(features):
        raise ValueError(
            "got no masks to calibrate on, expected some: give more images"
        )
    mean, scale = features.mean(axis=0), features.std(axis=0)
    # A constant feature, as the score of a grid's points, has no deviation.
    scale = np.where(scale > 1e-6, scale, 1.0)
    weights = _logistic_weights((features - mean) / scale, right)
    return Confidence(mean, scale, weights[:-1], float(weights[-1]))


def threshold_for(
    confidences: Float[np.ndarray, " n"],
    right: Bool[np.ndarray, " n"],
    precision: float,
    *,
    least: int = 20,
) -> float | None:
    """Returns the lowest confidence above which masks have a precision.

    The probability of being right is fitted once more, on the masks that are left without
    duplicates, as a line of the log-odds, and its mean above a threshold is compared with
    the precision. The lowest threshold whose *counted* precision suffices would be the
    luckiest of many, and disappoint on other images.

    Args:
        confidences: Of masks without duplicates.
        right: Whether each is right.
        precision: Fraction of the masks that has to be right.
        least: Fewest masks that the precision is measured on.

    Returns:
        The threshold; None if no threshold reaches the precision.
    """
    if len(confidences) < least:
        return None
    order = np.argsort(-confidences, kind="stable")
    values = np.clip(confidences[order], 1e-6, 1 - 1e-6)
    odds = np.log(values / (1 - values))[:, None]
    slope, bias = _logistic_weights(odds, right[order], ridge=1e-3)
    means = np.cumsum(_sigmoid(odds[:, 0] * slope + bias))
    means /= np.arange(1, len(means) + 1)
    reached = np.flatnonzero(means >= precision)
    reached = reached[reached >= least - 1]
    return float(confidences[order][reached[-1]]) if len(reached) else None


def _logistic_weights(
    inputs: Float[np.ndarray, "n f"],
    right: Bool[np.ndarray, " n"],
    ridge: float = _RIDGE,
) -> Float[np.ndarray, " _"]:
    """Returns weights and, last, the bias, by Newton's method."""
    inputs = np.hstack([inputs, np.ones((len(inputs), 1))])
    penalty = np.diag([ridge] * (inputs.shape[1] - 1) + [1e-3])
    weights = np.zeros(inputs.shape[1])
    for _ in range(_STEPS):
        probability = _sigmoid(inputs @ weights)
        gradient = inputs.T @ (probability - right) + penalty @ weights
        curvature = (inputs * (probability * (1 - probability))[:, None]).T @ inputs
        step = np.linalg.solve(curvature + penalty, gradient)
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    return weights


def _sigmoid(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return 1 / (1 + np.exp(-np.clip(values, -40, 40)))
