"""Many predictions beside their references: which belong together, their figures, and what these say together."""
