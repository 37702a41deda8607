"""The container files hold what their tools can check without an engine."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(BIN / command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_dockerfile_lints() -> None:
    found = _run("hadolint", "Dockerfile")
    assert found.returncode == 0, found.stdout


def test_the_compose_file_fits_its_schema() -> None:
    found = _run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")
    assert found.returncode == 0, found.stdout


def test_the_image_runs_as_nobody_in_particular_and_says_how_it_is() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert any(line.startswith("USER 10001") for line in lines)
    assert any(line.startswith("HEALTHCHECK") for line in lines)


@pytest.mark.parametrize("lock", sorted(path.name for path in (ROOT / "requirements").glob("*.txt")))
def test_a_lock_names_hashes_and_no_host(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text
