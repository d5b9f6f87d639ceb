"""operator/Dockerfile, line by line: nothing floating, nothing fetched by hand, not as root."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.installed import ROOT, kustomize, read_objects

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()


@dataclass(frozen=True, slots=True)
class Instruction:
    word: str
    rest: str


def read_instructions(text: str) -> tuple[Instruction, ...]:
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    pairs = (line.split(None, 1) for line in lines if line.strip() and not line.startswith("#"))
    return tuple(Instruction(word.upper(), rest.strip()) for word, rest in pairs)


@pytest.fixture(scope="module")
def instructions() -> tuple[Instruction, ...]:
    return read_instructions((ROOT / "operator" / "Dockerfile").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def final(instructions: tuple[Instruction, ...]) -> tuple[Instruction, ...]:
    """The stage that is shipped."""
    last = max(index for index, each in enumerate(instructions) if each.word == "FROM")
    return instructions[last:]


def every(instructions: tuple[Instruction, ...], word: str) -> list[str]:
    return [each.rest for each in instructions if each.word == word]


def test_each_stage_starts_from_the_same_slim_python_by_its_tag(
    instructions: tuple[Instruction, ...],
) -> None:
    images = [rest.split()[0] for rest in every(instructions, "FROM")]
    assert len(images) == 2
    assert len(set(images)) == 1
    assert re.fullmatch(r"python:3\.\d+-slim(-\w+)?", images[0])


def test_its_python_is_one_that_the_package_supports(instructions: tuple[Instruction, ...]) -> None:
    minor = int(re.search(r"python:3\.(\d+)", every(instructions, "FROM")[0]).group(1))  # type: ignore[union-attr]
    assert minor >= int(PROJECT["requires-python"].removeprefix(">=3."))


def test_nothing_is_fetched_but_by_pip_and_uv(instructions: tuple[Instruction, ...]) -> None:
    assert every(instructions, "ADD") == []
    runs = " ".join(every(instructions, "RUN"))
    assert not re.search(r"curl|wget|https?:|apt|git", runs)
    assert "latest" not in " ".join(each.rest for each in instructions)


def test_what_is_installed_is_what_is_locked_without_the_tools_of_development(
    instructions: tuple[Instruction, ...],
) -> None:
    syncs = [run for run in every(instructions, "RUN") if run.startswith("uv sync")]
    assert syncs
    assert all({"--locked", "--no-dev", "--no-editable"} <= set(run.split()) for run in syncs)
    assert "--no-install-project" not in syncs[-1]


def test_uv_is_the_one_that_make_installs(instructions: tuple[Instruction, ...]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    version = re.search(r"^UV_VERSION := (\S+)$", makefile, re.MULTILINE)
    assert version
    assert any(run.endswith(f" uv=={version[1]}") for run in every(instructions, "RUN"))


def test_it_runs_as_the_user_of_the_deployment_and_never_as_root(final: tuple[Instruction, ...]) -> None:
    pod = read_objects(kustomize(ROOT / "manifests"))["Deployment", "tokenfactory-operator"]["spec"]
    security = pod["template"]["spec"]["securityContext"]
    assert every(final, "USER") == [f"{security['runAsUser']}:{security['runAsGroup']}"]
    assert security["runAsUser"] > 0


def test_a_user_without_an_entry_in_passwd_has_a_name(final: tuple[Instruction, ...]) -> None:
    """kopf asks getpass for one, and would end the process."""
    assert "LOGNAME=tokenfactory" in " ".join(every(final, "ENV")).split()


def test_it_starts_the_script_of_the_package(final: tuple[Instruction, ...]) -> None:
    assert every(final, "ENTRYPOINT") == ['["tokenfactory"]']
    assert "tokenfactory" in PROJECT["scripts"]
    assert every(final, "CMD") == []


def test_nothing_has_to_be_written_to_its_file_system(final: tuple[Instruction, ...]) -> None:
    assert "PYTHONDONTWRITEBYTECODE=1" in " ".join(every(final, "ENV"))
    assert every(final, "VOLUME") == []


def test_the_only_thing_that_runs_in_it_compiles_what_the_operator_imports(
    final: tuple[Instruction, ...],
) -> None:
    words = [each.word for each in final]
    assert every(final, "RUN") == ["env -u PYTHONDONTWRITEBYTECODE tokenfactory run --help >/dev/null"]
    assert words.index("ENV") < words.index("RUN") < words.index("USER")


def test_no_secret_is_baked_in_by_name(instructions: tuple[Instruction, ...]) -> None:
    names = " ".join((*every(instructions, "ENV"), *every(instructions, "ARG"))).upper()
    assert not re.search(r"TOKEN\b|PASSWORD|SECRET|_KEY", names)


def test_its_labels_say_what_the_package_says(final: tuple[Instruction, ...]) -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', " ".join(every(final, "LABEL"))))
    assert labels["title"] == PROJECT["name"]
    assert labels["description"] == PROJECT["description"]
    assert labels["version"] == PROJECT["version"]
    assert labels["licenses"] == PROJECT["license"]


def test_what_is_copied_is_there_and_let_through_by_dockerignore(
    instructions: tuple[Instruction, ...],
) -> None:
    assert IGNORED[0] == "*"
    copied = [rest for rest in every(instructions, "COPY") if not rest.startswith("--from=")]
    sources = [source for rest in copied for source in rest.split()[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{Path(source).parts[0]}" in IGNORED


def test_what_the_build_of_the_package_reads_is_copied(instructions: tuple[Instruction, ...]) -> None:
    copied = " ".join(every(instructions, "COPY")).split()
    assert {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "uv.lock"} <= set(copied)


def test_a_dockerfile_with_a_continued_line_is_read_as_one() -> None:
    assert read_instructions("# x\nENV a=1 \\\n    b=2\n\nuser 1:1\n") == (
        Instruction("ENV", "a=1 b=2"),
        Instruction("USER", "1:1"),
    )
