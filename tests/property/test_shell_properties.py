"""The same argv, however it is written and wrapped in shell, gives the same words; any bytes an answer."""

from __future__ import annotations

import random
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenfactory.inspection.program import Program, read_programs
from tokenfactory.inspection.shell.grammar import parse_script
from tokenfactory.inspection.shell.limits import Untraceable
from tokenfactory.model import Container

SPECULATION = '{"method": "mtp", "num_speculative_tokens": 2}'
FLAG_WORDS = """--model --port 8000 -tp 8 --kv-transfer-config.kv_connector=NixlConnector [1,2] a=b it's $HOME
--no-enable-prefix-caching org/model-NVFP4 `x` a\\b #c ~ * {a,b} ! %s"""
SHELL_WORDS = """if then else fi for in do done while case esac () { } ( ) $( ${ $(( )) ` <<A <<< > & && || ;
;; | = += A $A " ' \\ # [ ] [[ ]] ! exit return break shift eval source export local set -- $@ * -c bash exec
x vllm serve m -n -z < 2> >> {1..3} : true [@]} :- "$@" "${ [0]= then\n do\n a() {"""
FLAGS = st.sampled_from([*FLAG_WORDS.split(), 'say "x"', SPECULATION])
PLAIN = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Co"])
ARGV = st.lists(FLAGS | st.text(PLAIN, max_size=8), max_size=12)
SHELLS = (("sh", "-c"), ("bash", "-lc"), ("/bin/bash", "-euxo", "pipefail", "-c"), ("bash", "--login", "-ec"))
WRITE = 6


def written(word: str, dice: random.Random) -> str:
    """One of the ways to quote a word."""
    pieces = []
    for part in _cut(word, dice):
        single = "'" + part.replace("'", "'\\''") + "'"
        double = '"' + "".join("\\" + c if c in '$`"\\' else c for c in part) + '"'
        escaped = "".join(c if c.isascii() and c.isalnum() else "\\" + c for c in part)
        pieces.append(dice.choice([single, double, escaped or "''", shlex.quote(part)]))
    return "".join(pieces)


def _cut(word: str, dice: random.Random) -> list[str]:
    if len(word) < 4 or dice.random() < 0.6:
        return [word]
    middle = dice.randrange(1, len(word))
    return [word[:middle], word[middle:]]


def script_of(argv: list[str], dice: random.Random) -> str:
    """A script that starts exactly this argv."""
    gap = lambda: dice.choice([" ", "  ", "\t", " \\\n  "])  # noqa: E731
    words = [written(word, dice) for word in argv]
    form = dice.randrange(WRITE)
    if form == 0 and words:
        return "A=(" + gap().join(words) + ')\nexec vllm serve "${A[@]}"'
    if form == 1:
        return f"go() {{ vllm serve{gap()}{gap().join(words)}; }}\ngo"
    if form == 2 and argv:
        values = "\n".join(f"export V{number}={word}" for number, word in enumerate(words))
        return values + "\nvllm serve " + " ".join(f'"$V{number}"' for number in range(len(words)))
    before = dice.choice(
        ["", "set -e\n", "# it's a comment\n", "sleep 5 && ", "exec ", "A=1 ", "env A=1 nice "]
    )
    after = dice.choice(["", " # done", " 2>&1 | tee /tmp/log", " &\nwait", "; exit 1", " > /dev/null"])
    return before + "vllm" + gap() + "serve" + "".join(gap() + word for word in words) + after


def programs(script: str, shell: tuple[str, ...]) -> tuple[Program, ...]:
    escaped = script.replace("$", "$$")
    return read_programs(Container(name="c", image="i", command=(*shell, escaped)), {})


@given(ARGV, st.sampled_from(SHELLS), st.randoms(use_true_random=False))
@settings(max_examples=500, deadline=None)
def test_quoting_spacing_and_wrapping_never_change_the_words(
    argv: list[str], shell: tuple[str, ...], dice: random.Random
) -> None:
    script = script_of(argv, dice)
    found = programs(script, shell)
    if [program.opaque for program in found if program.opaque]:
        with pytest.raises(Untraceable):
            parse_script(script)
    else:
        assert [program.words for program in found] == [("vllm", "serve", *argv)]


@given(ARGV, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_ordinary_words_are_never_refused(argv: list[str], dice: random.Random) -> None:
    """The grammar takes a bare `==` at the end of a line for an operator."""
    script = "vllm serve " + " ".join("'=='" if word == "==" else shlex.quote(word) for word in argv)
    assert [program.words for program in programs(script, ("sh", "-c"))] == [("vllm", "serve", *argv)]


PIECES = st.sampled_from([*SHELL_WORDS.split(), "\n", "\nA\n"])


@given(st.lists(PIECES, max_size=40), st.sampled_from(["", " "]))
@settings(max_examples=600, deadline=None)
def test_any_sequence_of_shell_pieces_gets_an_answer(pieces: list[str], between: str) -> None:
    for program in programs(between.join(pieces), ("bash", "-c")):
        assert bool(program.words) is not bool(program.opaque)


@given(st.binary(max_size=200), st.lists(st.text(max_size=20), max_size=4))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_never_raise(data: bytes, others: list[str]) -> None:
    text = data.decode("latin-1")
    for command in ((text,), ("sh", "-c", text), ("bash", text), (*others, text)):
        container = Container(name="c", image="i", command=command, args=tuple(others), env=((text, text),))
        assert isinstance(read_programs(container, {text: text}), tuple)


@pytest.mark.parametrize("word", ["==", "=~", "=", "!=", "[", "]"])
def test_a_word_that_is_an_operator_elsewhere_is_a_word_between_others(word: str) -> None:
    (found,) = programs(f"vllm serve a {word} b", ("sh", "-c"))
    assert found.words == ("vllm", "serve", "a", word, "b")


@pytest.mark.parametrize("piece", [")", "\x00", "(", "`", "${", "a", "\n", "'", "<<A\n", "$(", "é", "{a,"])
def test_a_mebibyte_of_anything_is_answered(piece: str) -> None:
    text = piece * (2**20 // len(piece.encode()))
    container = Container(name="c", image="i", command=("bash", "-c", text))
    assert [bool(program.opaque) for program in read_programs(container, {"/x": text})] == [True]
