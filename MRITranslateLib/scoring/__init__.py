"""How alike two volumes are: errors, similarity, overlap, and the protocols that say which of them count where."""
