"""Training data: pairs of volumes on the model's grid, and the random slices cut from them."""
