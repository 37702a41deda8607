"""The launcher's decisions; what it installs is shown by every run of these tests."""

import importlib.machinery
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def launcher() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("kehu_launcher", str(ROOT / "kehu"))
    spec = importlib.util.spec_from_loader("kehu_launcher", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_an_old_python_is_turned_away_in_one_line() -> None:
    program = (
        f"import sys; sys.version_info = (3, 9, 2); sys.argv = ['kehu']; exec(open({str(ROOT / 'kehu')!r}).read())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("kehu: Python 3.11 or newer is needed, this is 3.9 (")
    assert done.stderr.count("\n") == 1


def test_a_missing_venv_names_the_package(launcher: ModuleType) -> None:
    assert launcher.missing_venv_line(lambda name: object()) is None
    for missing in ("venv", "ensurepip"):
        line = launcher.missing_venv_line(lambda name, missing=missing: None if name == missing else object())
        assert "apt install python3-venv" in line


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_command(
    arguments: list[str], launcher: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launcher.main(arguments) == 0
    text = capsys.readouterr().out
    for command in (
        "demo",
        "test",
        "serve",
        "worker",
        "migrate",
        "shop",
        "client",
        "import",
        "export",
        "doctor",
        "lock",
    ):
        assert f"  {command}  " in text


def test_a_full_disk_is_told_in_one_line(launcher: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(launcher.Refusal, match=r"the disk is full: .* MiB free"):
        launcher.check_disk(str(tmp_path / "not" / "there"), 10**12)
    assert "the disk is full" in str(launcher.failure("it failed", "error: No space left on device (os error 28)"))


def test_an_installed_environment_is_left_alone(launcher: ModuleType, tmp_path: Path) -> None:
    environment = _environment(launcher, tmp_path)
    assert not environment.holds("dev")
    Path(environment.stamp).write_text(environment.expected("dev"))
    assert [environment.holds("dev"), environment.holds("embedded")] == [True, True]
    Path(environment.stamp).write_text(environment.expected("embedded"))
    assert [environment.holds("dev"), environment.holds("embedded")] == [False, True]


def test_an_unfinished_install_is_done_again(launcher: ModuleType, tmp_path: Path) -> None:
    environment = _environment(launcher, tmp_path)
    Path(environment.stamp).write_text(environment.expected("dev"))
    Path(environment.unfinished).touch()
    assert not environment.holds("dev")
    assert not environment.is_usable()


def test_a_directory_with_other_things_is_not_touched(launcher: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(launcher.Refusal, match="is not a virtual environment"):
        launcher.Environment(str(tmp_path)).create()
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("name", ["run", "embedded", "dev", "uv"])
def test_locks_name_versions_and_hashes_and_no_host(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert "://" not in text
    assert "--index" not in text
    wanted = [line for line in text.splitlines() if not line.startswith("    --hash=sha256:")]
    assert all("==" in line and line.endswith("\\") for line in wanted)


def test_the_widest_lock_agrees_with_the_others() -> None:
    locks = {name: _pins(name) for name in ("run", "embedded", "dev")}
    assert locks["run"] < locks["embedded"] < locks["dev"]


def _pins(name: str) -> set[str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return {line.split()[0] for line in text.splitlines() if "==" in line}


def _environment(launcher: ModuleType, path: Path) -> Any:
    (path / "bin").mkdir()
    (path / "bin" / "python").symlink_to(sys.executable)
    return launcher.Environment(str(path))
