"""A click-through of every section, as the tutorial shows it: real models, a real scene, a picture of each step."""

import subprocess
import sys

from PySide6.QtGui import QImage

from .conftest import ROOT

PICTURES = ("translate", "compare", "explain_slice", "explain", "preview", "brains", "xray", "models")


def test_every_section_is_clicked_through_and_leaves_a_picture(tmp_path):
    module = ["--additional-module-paths", str(ROOT / "MRITranslate")]
    host = [sys.executable, "-m", "Testing.host", "--testing", *module, "--python-script", "Testing/tour.py"]
    done = subprocess.run([*host, "--", str(tmp_path)], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=290)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.count("Made ") == 8, done.stdout
    for name in PICTURES:
        image = QImage(str(tmp_path / f"tutorial_{name}.png"))
        assert (image.width(), image.height()) == (1500, 950), name
        colours = {image.pixel(x, y) for x in range(0, 1500, 10) for y in range(0, 950, 10)}
        assert len(colours) > 100, name  # no empty window
