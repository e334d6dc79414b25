"""The two-way transformer over factored image sides, for any kind of array.

`FactoredTransformer` has the algebra; a subclass has the operations on its kind of
array. There are two: JAX (`samjax.models.amortized.arrays`) and nodes of an ONNX graph
(`samjax.export.factored_graph`).
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Generic, TypeVar

from samjax.models.amortized.factors import (
    PreparedImage,
    ProjectedImage,
    PromptFactors,
    UpscaledImage,
    VarianceFactors,
)

Value = TypeVar("Value")
"""An array of the implementation's kind."""


class FactoredTransformer(abc.ABC, Generic[Value]):
    """Layers of two-way attention, and drawing, without writing out an image side.

    Shapes below leave out an axis of prompts, which an implementation may have first.
    """

    def run(self, image: PreparedImage, tokens: Value) -> tuple[Value, PromptFactors]:
        """Runs the transformer.

        Args:
            image: The part that all prompts share.
            tokens: "t c", output tokens, then prompt tokens.

        Returns:
            The tokens, and the factors of the image side after the last layer.
        """
        original, side = tokens, None
        for index, layer in enumerate(image.layers):
            tokens = self.attend_among_tokens(index, tokens, original)
            attended = self.attend_to_image(
                side,
                layer.keys,
                layer.values,
                self.token_queries(index, self.add(tokens, original)),
            )
            tokens = self.update_tokens(index, tokens, attended)
            keys, values = self.token_keys_and_values(index, tokens, original)
            weights = self.softmax_over_tokens(self.scores(side, layer.queries, keys))
            side = self.add_and_normalize(side, layer.variance, weights, values)
        assert side is not None, "a transformer has layers"
        attended = self.attend_to_image(
            side,
            image.final_keys,
            image.final_values,
            self.token_queries(len(image.layers), self.add(tokens, original)),
        )
        return self.finish_tokens(tokens, attended), side

    def attend_to_image(
        self,
        side: PromptFactors | None,
        keys: ProjectedImage,
        values: ProjectedImage,
        query: Value,
    ) -> Value:
        """Attends from tokens to the image.

        Args:
            side: None in the first layer, where the image side is the embedding.
            keys: The shared part of the image's keys.
            values: The shared part of its values.
            query: "n t d", scaled queries of the tokens.

        Returns:
            "n t d".
        """
        weights = self.softmax_over_positions(self.scores(side, keys, query))
        # Weights over positions sum to one: the values' bias is added after the sum.
        if side is None:
            return self.sum_positions(weights, values)
        own = self._project_values(side, values)
        return self.add(
            self.sum_positions(self.rescale(weights, side.scale), values),
            self.sum_overlaps(weights, side.weights, own),
        )

    def scores(
        self,
        side: PromptFactors | None,
        image: ProjectedImage,
        vectors: Value,
    ) -> Value:
        """Computes attention logits between all positions and some tokens, by head.

        Args:
            side: None in the first layer, where the image side is the embedding.
            image: The shared part of the image's keys or queries.
            vectors: "n t d", scaled queries or keys of tokens.

        Returns:
            "n t s".
        """
        terms = [self.multiply_positions(vectors, image.embedding)]
        if side is not None:
            terms = [self.rescale(terms[0], side.scale)]
            own = self._project_values(side, image)
            factors = [self.multiply_values(vectors, each) for each in own]
            terms.append(self.sum_weights(factors, side.weights))
        if image.positions is not None:
            terms.append(self.multiply_positions(vectors, image.positions))
        if image.bias is not None:
            terms.append(self.multiply_positions(vectors, image.bias))
        return self.add(*terms)

    def add_and_normalize(
        self,
        side: PromptFactors | None,
        variance: VarianceFactors,
        weights: Value,
        values: Value,
    ) -> PromptFactors:
        """Adds the attended tokens to the image side, and normalizes over channels.

        Args:
            side: None in the first layer, where the image side is the embedding.
            variance: The terms of the norm's variance.
            weights: "n t s", which sum to one over the tokens.
            values: "n t d", of the tokens.
        """
        all_weights, all_values = [weights], [self.append_ones(values)]
        total = variance.squares
        if side is not None:
            all_weights = [*side.weights, *all_weights]
            all_values = [*side.values, *all_values]
            total = self.multiply(side.scale, side.scale, total)
        # The variance is the mean square of a sum of terms, the embedding's and one per
        # head and token of each layer; a term is multiplied with those before it only.
        for i, own in enumerate(all_weights):
            mixed = self.multiply_positions(
                all_values[i], variance.mixed[i], exact=True
            )
            if side is not None:
                mixed = self.rescale(mixed, side.scale)
            factors = [
                self.multiply_pair(all_values[i], matrix, all_values[j])
                for j, matrix in enumerate(variance.pairs[i])
            ]
            pairs = self.sum_weights(factors, all_weights[: i + 1], exact=True)
            total = self.add(total, self.sum_tokens(own, mixed, pairs))
        scale = self.inverse_deviation(total)
        return PromptFactors(
            scale=scale if side is None else self.multiply(side.scale, scale),
            weights=tuple(self.rescale(each, scale) for each in all_weights),
            values=tuple(all_values),
        )

    def write_pixels(self, side: PromptFactors, image: UpscaledImage) -> Value:
        """Computes the first upscaling, position by position: "s d"."""
        own = [
            self.project_to_pixels(values, vectors)
            for values, vectors in zip(side.values, image.vectors, strict=True)
        ]
        return self.sum_pixels(side, own, image)

    def _project_values(
        self, side: PromptFactors, image: ProjectedImage
    ) -> list[Value]:
        """Projects the values of every layer so far."""
        return [
            self.project_values(values, vectors)
            for values, vectors in zip(side.values, image.vectors, strict=True)
        ]

    # The token side: plain layers, of few tokens.

    @abc.abstractmethod
    def attend_among_tokens(self, index: int, tokens: Value, original: Value) -> Value:
        """Self-attention of layer `index`, with its residual and norm."""

    @abc.abstractmethod
    def token_queries(self, index: int, tokens: Value) -> Value:
        """Scaled queries "n t d" to the image, the final attention's after the last."""

    @abc.abstractmethod
    def update_tokens(self, index: int, tokens: Value, attended: Value) -> Value:
        """Adds the output of the attention to the image; norm, MLP and norm."""

    @abc.abstractmethod
    def token_keys_and_values(
        self, index: int, tokens: Value, original: Value
    ) -> tuple[Value, Value]:
        """Scaled keys and values "n t d" for the image's attention to the tokens."""

    @abc.abstractmethod
    def finish_tokens(self, tokens: Value, attended: Value) -> Value:
        """Adds the output of the final attention, and normalizes."""

    @abc.abstractmethod
    def softmax_over_positions(self, scores: Value) -> Value:
        """Softmax along the last axis of "n t s"."""

    @abc.abstractmethod
    def softmax_over_tokens(self, scores: Value) -> Value:
        """Softmax along the tokens of "n t s", those that are absent left out."""

    # Element by element.

    @abc.abstractmethod
    def add(self, *terms: Value) -> Value:
        """A sum."""

    @abc.abstractmethod
    def multiply(self, *factors: Value) -> Value:
        """A product of scales "s"."""

    @abc.abstractmethod
    def rescale(self, x: Value, scale: Value) -> Value:
        """Multiplies "n t s" with a scale "s"."""

    @abc.abstractmethod
    def inverse_deviation(self, variance: Value) -> Value:
        """One over the standard deviation, with the epsilon of the decoder's norms."""

    # Products with the positions, which are nearly all of the cost.

    @abc.abstractmethod
    def multiply_positions(
        self, vectors: Value, image: Value, exact: bool = False
    ) -> Value:
        """Products "n t s" of "n t d" and "n d s"; `exact` is float32 on any device."""

    @abc.abstractmethod
    def sum_weights(
        self, factors: Sequence[Value], weights: Sequence[Value], exact: bool = False
    ) -> Value:
        """Sums over layers, heads and tokens of "n t k u" times "k u s": "n t s"."""

    @abc.abstractmethod
    def sum_positions(self, weights: Value, image: ProjectedImage) -> Value:
        """Sums of the shared values over positions, plus their bias: "n t d"."""

    @abc.abstractmethod
    def sum_overlaps(
        self, weights: Value, others: Sequence[Value], own: Sequence[Value]
    ) -> Value:
        """Sums a prompt's own values, weighted by how attention maps overlap.

        Args:
            weights: "n t s".
            others: For every layer "k u s".
            own: For every layer the projected values "k u n d".

        Returns:
            "n t d".
        """

    @abc.abstractmethod
    def sum_tokens(self, weights: Value, *products: Value) -> Value:
        """Sums weights times the sum of products, "n t s", over tokens: "1 s"."""

    @abc.abstractmethod
    def sum_pixels(
        self,
        side: PromptFactors,
        own: Sequence[Value],
        image: UpscaledImage,
    ) -> Value:
        """Scaled embedding, plus weights times `own` "n t d", plus bias: "s d"."""

    # Products of tokens' vectors with parameters, or with each other.

    @abc.abstractmethod
    def append_ones(self, values: Value) -> Value:
        """Appends a channel: ones in the first head, zeros in the others."""

    @abc.abstractmethod
    def project_values(self, values: Value, vectors: Value) -> Value:
        """ "k u e" and "k e n d" to "k u n d"."""

    @abc.abstractmethod
    def project_to_pixels(self, values: Value, vectors: Value) -> Value:
        """ "n t e" and "n e d" to "n t d"."""

    @abc.abstractmethod
    def multiply_values(self, vectors: Value, own: Value) -> Value:
        """ "n t d" and "k u n d" to "n t k u"."""

    @abc.abstractmethod
    def multiply_pair(self, values: Value, matrix: Value, others: Value) -> Value:
        """ "n t e", "n e k f" and "k u f" to "n t k u", in float32."""
