"""Containers that start their program themselves: Kubernetes' own references, wrappers and empty commands."""

from __future__ import annotations

from tests.unit.inspection.programs_of import U, programs, script
from tokenfactory.inspection.variables import fill


def test_command_and_args_are_one_line_with_references_replaced() -> None:
    found = programs(
        "vllm", "serve", args=("$(M)", "--p=$(P)", "$$(M)", "$(NO)"), env=(("M", "m"), ("P", "$(M)"))
    )
    assert [program.words for program in found] == [("vllm", "serve", "m", "--p=m", "$(M)", U)]
    assert dict(found[0].env) == {"M": "m", "P": "m"}


def test_without_a_command_the_words_are_the_arguments_of_the_image() -> None:
    assert programs(args=("--model", "m"))[0].words == ("--model", "m")
    assert [program.words for program in programs()] == [()]


def test_a_shell_in_the_arguments_alone_is_followed() -> None:
    assert programs(args=("bash", "-c", "vllm serve m"))[0].words == ("vllm", "serve", "m")


def test_words_after_the_script_are_its_arguments_not_the_servers() -> None:
    assert programs("sh", "-c", "vllm serve m", args=("--port", "1"))[0].words == ("vllm", "serve", "m")
    assert programs("sh", "-c", args=("vllm", "serve", "m"))[0].words == ("vllm",)


def test_arguments_over_the_limits_of_discovery_are_unknown() -> None:
    assert programs("vllm", "serve", args=("$(=)",))[0].words == ("vllm", "serve", U)
    assert programs("sh", "-c", "vllm serve $(=)")[0].words == ("vllm", "serve", U)


def test_an_environment_that_env_empties_is_empty() -> None:
    found = programs("env", "-i", "A=1", "vllm", "serve", env=(("B", "2"),))[0]
    assert (found.words, dict(found.env)) == (("vllm", "serve"), {"A": "1"})


def test_a_script_file_that_is_not_mounted_stays_as_it_is() -> None:
    assert programs("/bin/bash", "/start.sh", "a")[0].words == ("/bin/bash", "/start.sh", "a")


def test_a_shell_without_a_script_is_opaque() -> None:
    assert "input" in programs("bash")[0].opaque


def test_files_are_found_whatever_way_their_path_is_written() -> None:
    found = script("vllm serve", files={"/etc//v/../c.yaml": "a: 1"})[0]
    assert found.text_of("/etc/./c.yaml") == "a: 1"
    assert found.text_of("/etc/d.yaml") is None


def test_a_file_over_64_kib_is_not_kept() -> None:
    assert script("vllm serve", files={"/c": "a" * 65537})[0].files["/c"] == U


def test_a_reference_in_a_script_that_nothing_sets_stays_for_the_shell() -> None:
    assert fill("$(A) $(B) $(C d) $$(A)", {"A": "1"}, {"B"}, hole="?") == "1 ? $(C d) $(A)"
    assert fill("$(X) $(C d)", {}, {"*"}, hole="?") == "? $(C d)"
