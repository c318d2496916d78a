"""Many volumes translated in one go: the table, the ledger of what is done, the run, and a cluster."""
