"""Builds Keras models: whole models, their frozen and trained parts, averages and ensembles."""
