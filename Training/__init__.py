"""Headless training of the models that MRITranslateLib runs: a recipe per file, explicit loops on Lightning Fabric."""
