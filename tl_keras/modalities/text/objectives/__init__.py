"""Objectives of pre-training on texts without labels, one module each."""
