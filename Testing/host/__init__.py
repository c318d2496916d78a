"""A stand-in for the 3D Slicer application, for tests: the real MRML of `slicer-core`, and Qt with PythonQt's manners.

Scripted modules load unchanged. What the host does not know raises, so that nothing passes here that fails in Slicer.

    python -m Testing.host --testing --additional-module-paths MRITranslate --python-script FILE    # as Slicer's
    from Testing.host import application; app = application.start(module_paths=[...])    # in a test's process
"""
