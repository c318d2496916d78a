"""The repository as a whole: its layout, its size, what an import costs, and that the README tells the truth."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 16 * 2**20
SOURCES = (".py", ".ui", ".toml", ".yaml", ".yml", ".json", ".md", ".txt", ".cmake", ".in", "")


def tracked_files() -> list[Path]:
    """Every file that git knows and that is still there."""
    listing = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, encoding="utf-8")
    if listing.returncode != 0:
        pytest.skip("this is not a git checkout, so there is no list of its files")
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def text_files() -> list[Path]:
    return [path for path in tracked_files() if path.suffix in SOURCES and path.stat().st_size < 2**20]


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter at the repository's root."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=120)


def test_top_level_layout() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in tracked_files()}
    wanted = {"CMakeLists.txt", "README.md", "LICENSE", "pyproject.toml", "Makefile"}
    wanted |= {"MRITranslate", "MRITranslateLib", "Training", "Testing", "docs", ".ci"}
    assert wanted <= top
    more = {".gitignore", ".pre-commit-config.yaml", ".gitattributes", "MRITranslate.json", "MRITranslate.png"}
    more |= {"CHANGELOG.md", "CITATION.cff", "mkdocs.yml"}
    assert top - wanted <= more


def test_no_large_file() -> None:
    assert [path for path in tracked_files() if path.stat().st_size > LARGEST] == []


def test_no_python_file_outgrows_its_subject() -> None:
    longest = {path: path.read_text("utf-8").count("\n") for path in tracked_files() if path.suffix == ".py"}
    assert {str(path.relative_to(ROOT)): lines for path, lines in longest.items() if lines > 500} == {}


def test_unix_line_endings() -> None:
    assert [path for path in text_files() if b"\r\n" in path.read_bytes()] == []


def test_no_path_of_a_developers_machine() -> None:
    """A path of somebody's machine works for nobody else."""
    private = re.compile(r"""(?<![\w.~$}\]-])/(?:work|farm|root|home/\w+|Users/\w+)/""")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in text_files()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if private.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "forbidden",
    [
        r"pickle\.loads?\(",
        r"(?<!safetensors\.)torch\.load\((?!.*weights_only=True)",
        r"shell=True",
        r"trust_remote_code=True",
    ],
)
def test_nothing_runs_foreign_code(forbidden: str) -> None:
    pattern = re.compile(forbidden)
    shipped = [path for path in text_files() if path.suffix == ".py" and "Testing" not in path.parts]
    assert [path for path in shipped if pattern.search(path.read_text("utf-8"))] == []


def test_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_import_is_light() -> None:
    """Slicer imports the package at start-up: it must not drag torch or pydantic in."""
    heavy = ["torch", "monai", "pydantic", "SimpleITK", "numpy", "matplotlib", "pytorch_grad_cam", "lightning", "typer"]
    outcome = run_python(f"import sys, MRITranslateLib; print([n for n in {heavy!r} if n in sys.modules])")
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["catalog", "modality", "errors", "service.messages"])
def test_slicer_side_modules_need_no_installed_package(module: str) -> None:
    """Slicer's panel lists models and talks to the worker before anything is installed."""
    code = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "pydantic", "monai", "safetensors", "pytorch_grad_cam", "rich", "typer"):
            raise ImportError(name + " is not installed here")
sys.meta_path.insert(0, Refuse())
import importlib
loaded = importlib.import_module("MRITranslateLib.{module}")
if "{module}" == "catalog":
    assert isinstance(loaded.list_models(), list)
"""
    outcome = run_python(code)
    assert outcome.returncode == 0, outcome.stderr


def test_every_public_name_resolves() -> None:
    """`mt.translate` is the function, also when somebody imported the module of that name first."""
    code = """
import importlib, inspect
homes = ("translate", "explain", "evaluate", "phantom", "modality", "package", "catalog", "volume", "errors")
for home in homes:
    importlib.import_module("MRITranslateLib." + home)
import MRITranslateLib as mt
modules = [name for name in mt.__all__ if inspect.ismodule(getattr(mt, name))]
assert not modules, modules
"""
    outcome = run_python(code)
    assert outcome.returncode == 0, outcome.stderr


def code_blocks(readme: str) -> str:
    return "\n".join(re.findall(r"^```[a-z]*\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL))


def test_readme_make_targets_exist() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    mentioned = set(re.findall(r"\bmake ([a-z]+)\b", code_blocks(text)))
    assert {"demo", "test"} <= mentioned <= targets


def test_readme_commands_exist() -> None:
    """Every `mritranslate` and `mritranslate-train` line of the README names a command and options that exist."""
    blocks = code_blocks((ROOT / "README.md").read_text("utf-8"))
    lines = re.findall(r"^(mritranslate(?:-train)?) (.+)$", blocks, re.MULTILINE)
    assert lines
    modules = {"mritranslate": "MRITranslateLib.cli", "mritranslate-train": "Training.cli"}
    wide = {**os.environ, "COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}
    helps: dict[tuple[str, ...], str] = {}
    for program, rest in lines:
        words = rest.split("#")[0].split()
        length = 2 if words[0] == "models" else 1
        command = (modules[program], *words[:length])
        if command not in helps:
            outcome = subprocess.run(
                [sys.executable, "-m", *command, "--help"],
                cwd=ROOT,
                capture_output=True,
                encoding="utf-8",
                env=wide,
                timeout=120,
            )
            assert outcome.returncode == 0, f"{program} {rest}: {outcome.stderr}"
            helps[command] = outcome.stdout
        for option in (word for word in words[length:] if word.startswith("--")):
            assert option in helps[command], f"{program} {rest}: no option {option}"


def test_readme_links_exist() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text("utf-8")):
            if "://" not in link:
                assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_slicer_module_imports_nothing_heavy() -> None:
    """The module's own files run inside Slicer: torch and its like live in the worker, Qt comes from Slicer."""
    names = r"torch|monai|transformers|pytorch_grad_cam|PySide6|Training|Testing"
    heavy = re.compile(rf"^\s*(?:import|from)\s+({names})\b", re.MULTILINE)
    sources = {path.name: path.read_text("utf-8") for path in (ROOT / "MRITranslate").rglob("*.py")}
    assert sources
    assert {name: found for name, text in sources.items() if (found := heavy.findall(text))} == {}


def test_no_view_of_an_image_that_nobody_holds() -> None:
    """SimpleITK frees the memory under `GetArrayViewFromImage(make_image())` at once; take a copy of a temporary."""
    view = re.compile(r"GetArrayViewFromImage\((?!getattr)[\w.]+\(")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked_files()
        if path.suffix == ".py" and path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if view.search(line)
    ]
    assert not found


def test_every_benchmark_can_be_started() -> None:
    """Their parts are modules of their own, started as processes that no other test starts."""
    names = [f"Testing.benchmarks.{path.stem}" for path in (ROOT / "Testing" / "benchmarks").glob("[a-z]*.py")]
    assert len(names) > 5
    ended = run_python(f"import importlib\nfor name in {names!r}: importlib.import_module(name)")
    assert ended.returncode == 0, ended.stderr
