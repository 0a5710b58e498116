"""Networks: a whole model, its halves at a cut, batch norm folded, one step of training."""
