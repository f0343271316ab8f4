"""The folders at the top install as clusterplan.<folder>, and nothing of the same name shadows them."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Command

import clusterplan

SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


@pytest.mark.parametrize("package", SETUPTOOLS["package-dir"])
def test_each_moved_package_has_its_link(package: Any) -> None:
    link = ROOT / package.replace(".", "/")
    assert link.is_symlink()
    assert link.resolve() == ROOT / SETUPTOOLS["package-dir"][package]


def test_every_package_is_listed() -> None:
    moved = {folder: name for name, folder in SETUPTOOLS["package-dir"].items()}
    found = set()
    for top in ("clusterplan", *moved):
        for folder, _, files in os.walk(ROOT / top):  # links are not followed
            if "__init__.py" in files:
                room = Path(folder).relative_to(ROOT / top).parts
                found.add(".".join((moved.get(top, top), *room)))
    assert found == set(SETUPTOOLS["packages"])


def test_a_folder_cannot_be_imported_a_second_time_by_its_own_name() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import estimator.estimate.steps"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "beyond top-level package" in done.stderr


def test_foreign_folders_of_the_same_names_do_not_shadow_ours(clusterplan: Command, tmp_path: Path) -> None:
    for name in ("launcher", "estimator", "cluster_profiles", "render", "cli"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(
            "raise SystemExit('foreign module imported')", encoding="utf-8"
        )
    arguments = "estimate --samples 1_000_000 --batch-size 32 --gpus 8".split()
    assert "3,907" in clusterplan(*arguments).stdout
    module = subprocess.run(
        [sys.executable, "-m", "clusterplan", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "3,907" in module.stdout


def test_the_root_exports_what_it_says() -> None:
    assert clusterplan.__all__ == sorted(clusterplan.__all__)
    for name in clusterplan.__all__:
        assert getattr(clusterplan, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        clusterplan.nothing  # noqa: B018


def modules_loaded_by(code: Any) -> Any:
    script = (
        f"import sys; before = set(sys.modules); {code}; print(*sorted(set(sys.modules) - before), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


HEAVY = {"click", "numpy", "platformdirs", "pydantic", "pynvml", "rich", "sqlite_utils", "submitit"}


def test_importing_the_package_loads_the_standard_library_only() -> None:
    assert not modules_loaded_by("import clusterplan") & HEAVY


def test_what_training_code_imports_loads_the_standard_library_only() -> None:
    assert not modules_loaded_by("from clusterplan import mixed_precision") & HEAVY


def test_the_tracker_loads_the_standard_library_only() -> None:
    # It runs in the user's training environment, which may have none of ours.
    code = "from clusterplan import track; list(track('abc'))"
    assert modules_loaded_by(code) <= {"clusterplan", "__future__"} | sys.stdlib_module_names


def test_the_help_loads_click_only() -> None:
    code = "from click.testing import CliRunner; from clusterplan.cli import clusterplan as c; CliRunner().invoke(c, ['-h'])"
    assert modules_loaded_by(code) & HEAVY == {"click"}


def test_an_estimate_loads_neither_numpy_nor_what_later_commands_need() -> None:
    code = "from clusterplan import Workload, estimate; estimate(Workload.of(samples=100, batch_size=1, gpus=1, step_time=1))"
    # platformdirs tells where the settings of the site and the user are.
    assert not modules_loaded_by(code) & (HEAVY - {"pydantic", "platformdirs"})


@pytest.mark.parametrize("module", ["launcher.node.task", "api.runs", "api.logs", "api.report"])
def test_what_every_start_and_every_question_pays_for_holds_no_models(module: str) -> None:
    assert not modules_loaded_by(f"import clusterplan.{module}") & (HEAVY - {"platformdirs"})


def test_the_catalogue_needs_the_standard_library_only() -> None:
    assert (
        not modules_loaded_by("from clusterplan.cluster_profiles.gpu import read_gpus; read_gpus()") & HEAVY
    )


def test_the_wheel_holds_every_module_and_profile(tmp_path: Path) -> None:
    # In the checkout setuptools would add what is left in build/ of modules long gone.
    source = tmp_path / "source"
    left_out = shutil.ignore_patterns(".*", "build", "dist", "site", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, symlinks=True, ignore=left_out)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(source)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no wheel can be built here: {done.stderr.strip().splitlines()[-1]}")
    with zipfile.ZipFile(next(Path(tmp_path).glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if not re.match(r"clusterplan-.*\.dist-info/", name)}
    folders = {
        "clusterplan": "clusterplan",
        **{f: f"clusterplan/{f}" for f in SETUPTOOLS["package-dir"].values()},
    }
    expected = set()
    for folder, inside in folders.items():
        for path in (ROOT / folder).rglob("*"):
            relative = path.relative_to(ROOT / folder)
            linked = folder == "clusterplan" and relative.parts[0] in folders
            if path.suffix in {".py", ".sql", ".toml", ".typed", ".css", ".js"} and not linked:
                expected.add(f"{inside}/{relative}")
    assert names == expected
