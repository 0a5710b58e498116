"""Networks: the whole model, its prefix and suffix at a cut, folded batch norm, combined models."""
