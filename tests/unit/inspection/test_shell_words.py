"""Words of a script become what the engine gets: quotes, expansions, arrays and here-documents."""

from __future__ import annotations

import pytest

from tests.unit.inspection.programs_of import U, reason, script, words

ENV = (("M", "org/m"), ("EMPTY", ""), ("TWO", "a b"), ("J", '{"k": [1, 2]}'))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("serve a   b\tc", ("a", "b", "c")),
        ("serve a \\\n   --b \\\n\t--c", ("a", "--b", "--c")),
        ("serve 'a b' \"c d\" e\\ f", ("a b", "c d", "e f")),
        ("serve --x='{\"a\": 1}'", ('--x={"a": 1}',)),
        ('serve "{\\"a\\": \\"b\\"}"', ('{"a": "b"}',)),
        ('serve {\\"a\\":1}', ('{"a":1}',)),
        ("serve a\"b\"'c'd", ("abcd",)),
        ("serve '' \"\"", ("", "")),
        ("serve $'a\\tb'", ("a\tb",)),
        ("serve a # comment\n# another", ("a",)),
        ("serve a#b '#c'", ("a#b", "#c")),
        ('serve $M ${M} "$M" x${M}y', ("org/m", "org/m", "org/m", "xorg/my")),
        ('serve $TWO "$TWO" x$TWO', ("a", "b", "a b", "xa", "b")),
        ('serve $EMPTY "$EMPTY" z', ("", "z")),
        ("serve '$M' \\$M \"\\$M\"", ("$M", "$M", "$M")),
        ('serve --j "$J"', ("--j", '{"k": [1, 2]}')),
        ('serve ${X:-d} ${X-d} ${M:-d} "${EMPTY:-d e}" ${EMPTY-d}', ("d", "d", "org/m", "d e")),
        ("serve ${M:+yes} ${X:+no} ${X:=set} $X", ("yes", "set", "set")),
        ("serve ${X:-$M} ${X:-${Y:-z}}", ("org/m", "z")),
        ("serve ${M#org/} ${M%/m} ${M##*/} ${M^^}", ("m", "org", "m", "ORG/M")),
        ("serve $((8000 + 2 * 3)) $(( (1+2)*3 ))", ("8006", "9")),
        ("P=9; serve $((P+1)) $((${P}%4))", ("10", "1")),
        ('serve $X ${X} "$X"', (U, U, U)),
        ("serve a$X ${X}b", ("a" + U, U + "b")),
        ('serve $(hostname) "--h=$(hostname -i):1" `date`', (U, f"--h={U}:1", U)),
        ('serve $(echo a b) "$(echo a b)"', ("a", "b", "a b")),
        ("serve ${M/o/x} ${M:0:1} ${!M}", (U, U, U)),
        ("serve $HOME $HOSTNAME ${HOSTNAME:-x}", (U, U, U)),
        ("serve *.txt /m/?.bin {a,b} ~/x", (U, U, U, U)),
        ("serve --sizes [1,2,4] 50% a:b -1 0x1", ("--sizes", "[1,2,4]", "50%", "a:b", "-1", "0x1")),
        ("serve A=b --c=d", ("A=b", "--c=d")),
    ],
)
def test_a_word_is_what_the_shell_makes_of_it(text: str, expected: tuple[str, ...]) -> None:
    assert words(text, env=ENV) == [("serve", *expected)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('A=(--a "b c"); serve "${A[@]}"', ("--a", "b c")),
        ('A=(--a "b c"); serve ${A[@]}', ("--a", "b", "c")),
        ('A=(a); A+=(b "c d"); A+=($M); serve "${A[@]}" ${#A[@]}', ("a", "b", "c d", "org/m", "4")),
        ('A=(\n  --a 1 # one\n  --b 2\n); serve "${A[@]}"', ("--a", "1", "--b", "2")),
        ('A=(); serve "${A[@]}" x', ("x",)),
        ('A=(a b); serve "x${A[@]}y"', ("xa", "by")),
        ('A=(a b); serve "${A[*]}" ${A[1]} $A', ("a b", "b", "a")),
        ('A=(a); A[0]=z; serve "${A[@]}"', (U,)),
        ('A=(a $(b)); serve "${A[@]}"', ("a", U)),
        ('A="--a"; A="$A --b"; A+=" --c"; serve $A', ("--a", "--b", "--c")),
        ('set -- a "b c"; serve "$@" $# $2', ("a", "b c", "2", "b", "c")),
        ('set -- a b c; shift; serve "$@"', ("b", "c")),
    ],
)
def test_arrays_and_arguments_keep_their_words(text: str, expected: tuple[str, ...]) -> None:
    assert words(text, env=ENV) == [("serve", *expected)]


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("cat <<EOF > /x\na: $M\nb: \\$M\nEOF\n", "/x", "a: org/m\nb: $M\n"),
        ("cat > /x <<'EOF'\na: $M\nEOF\n", "/x", "a: $M\n"),
        ('cat <<"EOF" > /x\n$M\nEOF\n', "/x", "$M\n"),
        ("cat <<-EOF > /x\n\ta: 1\n\t  b: 2\n\tEOF\n", "/x", "a: 1\n  b: 2\n"),
        ("cat > /x <<EOF\na: $(date)\nEOF\n", "/x", f"a: {U}\n"),
        ("tee /x <<EOF\na: 1\nEOF\n", "/x", "a: 1\n"),
        ("cat <<EOF | tee /x > /dev/null\na: 1\nEOF\n", "/x", "a: 1\n"),
        ("echo 'a: 1' > /x; echo 'b: 2' >> /x\n", "/x", "a: 1\nb: 2\n"),
        ("printf '%s\\n' a b > /x\n", "/x", "a\nb\n"),
        ("{ echo a; echo b; } > /x\n", "/x", "a\nb\n"),
        ('cat <<< "$M" > /x\n', "/x", "org/m\n"),
        ("cp /in /x\n", "/x", "mounted\n"),
        ("cat /in > ./x\n", "x", "mounted\n"),
        ("sed -i s/a/b/ /in\n", "/in", U),
        ("python3 make.py > /x\n", "/x", U),
        ("echo a >> /new\n", "/new", U + "a\n"),
        ("cd /d\necho a > x\n", "/d/x", "a\n"),
        ("if which a; then echo a > /x; else echo b > /x; fi\n", "/x", U),
        ("( echo a > /x )\n", "/x", "a\n"),
    ],
)
def test_files_that_a_script_writes_are_kept(text: str, path: str, expected: str) -> None:
    found = script(text + "serve", env=ENV, files={"/in": "mounted\n"})
    assert found[-1].words == ("serve",)
    assert found[-1].files[path] == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("serve 'a", id="a quote that never ends"),
        pytest.param("serve )", id="a parenthesis too many"),
        pytest.param("if true; then serve", id="no fi"),
        pytest.param("serve \"a\"'b'$x-${y}z", id="text that the grammar cuts in the wrong place"),
        pytest.param("cat <<EOF > /x\na", id="no end of the document"),
    ],
)
def test_a_script_that_is_no_shell_is_opaque(text: str) -> None:
    found = script(text)
    assert all(program.opaque or "serve" not in program.words for program in found)


def test_a_variable_in_a_brace_default_is_never_cut() -> None:
    assert "grammar" in reason('serve "${A:-{\\"a\\":1}}"')


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("python3 -m vllm.entrypoints.openai.api_server --config /x", True),
        ("mpirun -n 2 trtllm-serve m --config /x", True),
        ("python3 make.py /x", False),
    ],
)
def test_a_server_reads_its_file_and_any_other_python_may_rewrite_it(command: str, kept: bool) -> None:
    found = script(f"echo a > /x; {command}; serve", env=ENV)
    assert (found[-1].files["/x"] == "a\n") is kept
