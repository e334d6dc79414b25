"""Strict numerics and shared fixtures for the whole suite."""

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
