"""Tiny Python packages as wheel files, and a Python of its own to install them into: real pip, no network."""

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pip


def wheel(folder: Path, package: str, version: str, requires=(), files=None) -> None:
    """Write the wheel of a package that holds one module of its own name, and perhaps further files."""
    module = package.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    contents = {
        f"{module}/__init__.py": f'__version__ = "{version}"\n',
        **(files or {}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_digest(text)},{len(text)}\n" for name, text in contents.items())
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as archive:
        for name, text in {**contents, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(name, text)


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


class OwnPython:
    """A virtual environment with pip; it stands for Slicer's own Python.

    Attributes:
        executable: Its interpreter.
        site: Folder of its packages.
        wheels: Folder that pip is to look for packages in.
    """

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.executable = folder / "bin" / "python"
        (self.site,) = folder.glob("lib/*/site-packages")
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        source = Path(pip.__file__).parent  # a link takes no time, other than an installation of pip
        (self.site / "pip").symlink_to(source)

    def install(self, *requirements: str) -> None:
        command = [
            self.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-index",
            "--find-links",
            self.wheels,
            *requirements,
        ]
        subprocess.run(command, check=True)

    def packages(self) -> dict[str, str]:
        """Versions of what is installed."""
        found = {}
        for metadata in self.site.glob("*.dist-info/METADATA"):
            fields = dict(
                line.split(": ", 1) for line in metadata.read_text(encoding="utf-8").splitlines() if ": " in line
            )
            found[fields["Name"]] = fields["Version"]
        return found
