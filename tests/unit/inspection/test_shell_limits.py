"""Hostile scripts: what the parser may ask for is counted, and every limit answers with a reason."""

from __future__ import annotations

import pytest

from tests.unit.inspection.programs_of import script
from tokenfactory.inspection.shell import grammar
from tokenfactory.inspection.shell.grammar import Reader, parse_script
from tokenfactory.inspection.shell.limits import LONGEST_SCRIPT, Untraceable

BAD = [")", "(", "`", "${", "$((", "<<A\n", "[[ ", "a) ", "=(", "<", "case a in ", "if ", "/`<", "|\\}", "'|"]
ORDINARY = """set -euo pipefail
export MODEL=${MODEL:-org/model}
ARGS=(--tensor-parallel-size 8 --max-model-len "$LEN")
if [ "$ROLE" = prefill ]; then ARGS+=(--kv-transfer-config '{"kv_connector": "NixlConnector"}'); fi
cat <<EOF > /tmp/config.yaml
speculative_config:
  decoding_type: MTP
EOF
exec vllm serve "$MODEL" \\
  --port 8000 "${ARGS[@]}" 2>&1 | tee /tmp/log
"""


class Counted(Reader):
    """Remembers the readers that a parse made."""

    made: list[Reader]

    def __init__(self, source: bytes) -> None:
        super().__init__(source)
        Counted.made.append(self)


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    Counted.made = []
    monkeypatch.setattr(grammar, "Reader", Counted)


@pytest.mark.parametrize("piece", BAD)
def test_malformed_input_never_asks_for_more_than_the_budget(piece: str) -> None:
    text = (piece * LONGEST_SCRIPT)[:LONGEST_SCRIPT]
    found = script(text)
    assert all(program.opaque for program in found)
    for reader in Counted.made:
        assert reader.reads <= 6 * (grammar.READS_BESIDES + grammar.READS_PER_BYTE * len(text))
        assert len(reader.source) <= LONGEST_SCRIPT


@pytest.mark.parametrize("piece", [")", "<<A\n", "a) ", "=(", "<"])
def test_what_is_super_linear_runs_out_of_its_budget_or_over_a_limit_of_marks(piece: str) -> None:
    for size in (200, LONGEST_SCRIPT):
        with pytest.raises(Untraceable):
            parse_script(piece * (size // len(piece)))


def test_an_ordinary_script_asks_for_less_than_one_piece_a_byte_whatever_its_length() -> None:
    for times in (1, 10, 40):
        parse_script(ORDINARY * times)
        assert Counted.made[-1].reads < len(ORDINARY) * times


@pytest.mark.parametrize("text", ["\x00" * 100_000, "\x00", "a\x07b", "a\x7f", "a\r\n"])
def test_control_characters_are_refused_before_anything_is_parsed(text: str) -> None:
    assert [program.opaque != "" for program in script(text)] == [True]
    assert not Counted.made


def test_more_than_64_kib_are_refused_before_anything_is_parsed() -> None:
    for text in ("a" * (LONGEST_SCRIPT + 1), "é" * LONGEST_SCRIPT, "a " * 2**19):
        assert "64 KiB" in script(text)[0].opaque
    assert not Counted.made


def test_the_end_of_the_text_comes_when_the_budget_is_spent() -> None:
    reader = Reader(b"abcdef")
    assert reader(0, None) == b"abcd"  # type: ignore[arg-type]
    reader.reads = reader.most
    assert reader(0, None) == b""  # type: ignore[arg-type]
    assert reader.spent
