"""Trains a model: plan, head, suffix, candidates, and the activations that trainings share."""
