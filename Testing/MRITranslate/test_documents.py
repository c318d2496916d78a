"""The examples of the documents, run as they stand in a session without a window."""

import re
import subprocess
import sys

import pytest

from .conftest import ROOT

LAST = "\nprint('The examples ran to their end.')\nslicer.util.exit(0)\n"


def examples(document, heading=""):
    """The Python blocks of a Markdown file, joined; of the section under one heading, if one is named."""
    text = (ROOT / document).read_text(encoding="utf-8")
    if heading:
        text = text.partition(f"{heading}\n")[2].partition("\n#")[0]
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks, document
    return "import slicer\n" + "\n".join(blocks)


@pytest.mark.parametrize(
    ("document", "heading"),
    [("docs/scripting.md", ""), ("README.md", "### In Slicer's Python console")],
    ids=["scripting", "README"],
)
def test_examples_run(document, heading, tmp_path):
    script = tmp_path / "examples.py"
    script.write_text(examples(document, heading) + LAST, encoding="utf-8")
    module = ["--additional-module-paths", str(ROOT / "MRITranslate")]
    host = [sys.executable, "-m", "Testing.host", "--no-main-window", "--testing", *module]
    done = subprocess.run(
        [*host, "--python-script", str(script)], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The examples ran to their end." in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
