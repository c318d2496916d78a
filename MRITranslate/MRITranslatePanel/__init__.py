"""What stands behind the MRITranslate module of 3D Slicer: worker client, scene adapter, sections of the panel.

It is a folder, not files beside MRITranslate.py, because Slicer's module factory takes every .py file of a module's
folder for a module of its own.
"""
