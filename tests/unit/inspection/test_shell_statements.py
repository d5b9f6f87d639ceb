"""Scripts as people write them: what is started, with which words and environment."""

from __future__ import annotations

import pytest

from tests.unit.inspection.programs_of import U, reason, script, words
from tokenfactory.inspection.shell.run import CONDITIONAL

SERVE = ("vllm", "serve", "m")


@pytest.mark.parametrize(
    "text",
    [
        "vllm serve m",
        "exec vllm serve m",
        "set -euo pipefail\nexec vllm serve m 2>&1 | tee /var/log/x",
        "vllm serve m &\nwait",
        "vllm serve m & wait $!",
        "cd /app && pip install -q x && vllm serve m",
        "sleep 10; vllm serve m",
        "until curl -sf http://x/health; do echo wait; sleep 2; done\nvllm serve m",
        "while ! nc -z x 1; do sleep 1; done; vllm serve m",
        "for i in $(seq 60); do curl -sf x && break; sleep 1; done; vllm serve m",
        "while true; do vllm serve m; sleep 5; done",
        "(vllm serve m)",
        "{ vllm serve m; }",
        "go() { vllm serve m; }\ngo",
        "function go { vllm serve \"$1\"; }; go m",
        "eval \"vllm serve m\"",
        "eval vllm serve m",
        "bash -c 'vllm serve m'",
        "sh -ec 'vllm serve $0' m",
        "if [ 1 = 1 ]; then vllm serve m; else vllm serve n; fi",
        "if [ -z \"${X:-}\" ]; then vllm serve m; fi",
        "if [[ \"a\" == \"b\" || 3 -gt 2 ]]; then vllm serve m; fi",
        "[ a = b ] && vllm serve n || vllm serve m",
        "test a = a && vllm serve m",
        "if ! test a = a; then vllm serve n; elif [ ! a = b ]; then vllm serve m; fi",
        "case x in a|b) vllm serve n;; x*) vllm serve m;; *) vllm serve o;; esac",
        "if which x; then vllm serve m; else vllm serve m; fi",
        "if [ -f /nope ]; then pip install x; fi; vllm serve m",
        "[ -n \"$DEBUG\" ] && exec sleep infinity; vllm serve m",
        "[ -z \"$TOKEN\" ] && { echo no; exit 1; }; vllm serve m",
        "command -v nvidia-smi || exit 1\nvllm serve m",
        "trap 'kill 0' EXIT\nulimit -n 65535\nvllm serve m",
        "for x in a b; do echo $x; done; vllm serve m",
        "false || vllm serve m",
        "true && vllm serve m",
        "curl -sLo /x http://x && ls /x && vllm serve m || exit 1",
        "echo 'vllm serve n'; vllm serve m",
        "source /opt/venv/bin/activate; vllm serve m",
        "nvidia-smi; vllm serve m; exit $?",
        "cat - <<X > /x\nvllm serve n\nX\nvllm serve m",
    ],
)  # fmt: skip
def test_the_one_server_of_a_script_is_found(text: str) -> None:
    assert words(text) == [SERVE]


@pytest.mark.parametrize(
    "prefix",
    [
        "env A=1",
        "env -u B A=1",
        "/usr/bin/env",
        "nice -n 5",
        "ionice -c 2 -n 0",
        "numactl --cpunodebind=0 --membind=0",
        "numactl -N 0 -m 0",
        "nohup",
        "timeout -k 5 100",
        "taskset -c 0-7",
        "stdbuf -oL",
        "tini --",
        "dumb-init --",
        "time",
        "command",
        "mpirun -np 8 --allow-run-as-root",
        "nsys profile -o /x --trace=cuda",
        "exec env A=1 nice numactl -m 0",
        "A=1 B=2",
        "sudo -E",
        "opentelemetry-instrument",
    ],
)
def test_words_in_front_of_the_server_are_taken_off(prefix: str) -> None:
    assert words(f"{prefix} vllm serve m") == [SERVE]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python3 -u -m a.b --x", ("python3", "-m", "a.b", "--x")),
        ("python -X dev -O -um a.b", ("python", "-m", "a.b")),
        ("torchrun --nproc-per-node 8 -m a.b --x", ("python3", "-m", "a.b", "--x")),
        ("torchrun --nnodes 2 serve.py --x", ("python3", "serve.py", "--x")),
        ("python3 -m torch.distributed.run --nnodes 2 -m a.b", ("python3", "-m", "a.b")),
        ("python3 /usr/bin/vllm serve m", ("/usr/bin/vllm", "serve", "m")),
        ("mpirun -n 2 trtllm-llmapi-launch trtllm-serve m", ("trtllm-serve", "m")),
    ],
)
def test_interpreters_and_launchers_leave_the_program(text: str, expected: tuple[str, ...]) -> None:
    assert words(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "if which x; then vllm serve a; else vllm serve b; fi",
        "if [ \"$RANK\" = 0 ]; then vllm serve a; fi",
        "nvidia-smi | grep H100 && vllm serve a || vllm serve b",
        "case \"$R\" in a) vllm serve a;; b) vllm serve b;; esac",
        "if [ \"$RANK\" = 0 ]; then exec vllm serve a; fi; sleep 9",
        "for x in $LIST; do vllm serve a; done",
        "if [ \"$RANK\" = 0 ]; then exec /start.sh; fi; vllm serve a",
        "go() { which x && return; vllm serve a; }; go",
    ],
)  # fmt: skip
def test_a_server_behind_an_open_condition_is_opaque(text: str) -> None:
    assert reason(text) == CONDITIONAL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("if which x; then A=1; else A=2; fi; serve $A", (U,)),
        ("A=1; if which x; then A=2; fi; serve $A", (U,)),
        ("A=1; if which x; then A=1; fi; serve $A", ("1",)),
        ("A=1; which x && A=2; serve $A", (U,)),
        ("A=1; [ -n \"$X\" ] && A=2; serve $A", (U,)),
        ("nvidia-smi && A=2 || A=1; serve $A", (U,)),
        ("A=(--a); if which x; then A+=(--b); fi; serve \"${A[@]}\"", ("--a", U)),
        ("A=1; while which x; do A=2; done; serve $A", (U,)),
        ("A=1; for x in $L; do A=2; done; serve $A $x", (U, U)),
        ("A=; for x in a b; do A=\"$A$x\"; done; serve $A", ("ab",)),
        ("for ((i=0;i<3;i++)); do A=1; done; serve $i", (U,)),
        ("i=1; ((i++)); serve $i", (U,)),
        ("read A; serve $A", (U,)),
        ("A=1; (A=2); serve $A", ("1",)),
        ("A=1; A=2 true; serve $A", ("1",)),
        ("A=1; . /etc/x; serve $A", (U,)),
        ("A=1; go() { A=2; }; go; serve $A", ("2",)),
        ("A=1; unset A; serve ${A:-d}", ("d",)),
        ("A=1; echo 2 | read A; serve $A", ("1",)),
        ("case $X in a) A=1;; *) A=2;; esac; serve $A", (U,)),
        ("case b in a) A=1;; *) A=2;; esac; serve $A", ("2",)),
        ("A=1; case c in a) A=2;; esac; serve $A", ("1",)),
    ],
)  # fmt: skip
def test_what_a_script_may_have_changed_is_unknown(text: str, expected: tuple[str, ...]) -> None:
    assert words(text) == [("serve", *expected)]


def test_a_script_that_is_not_in_the_pod_is_a_program_of_its_own() -> None:
    text = "bash /x/multi-node-serving.sh leader --size=$(SIZE); python3 -m a.b"
    assert words(text, env=(("SIZE", "2"),)) == [
        ("bash", "/x/multi-node-serving.sh", "leader", "--size=2"),
        ("python3", "-m", "a.b"),
    ]


def test_every_process_of_a_script_has_its_own_words_and_environment() -> None:
    found = script(
        """python3 -m dynamo.frontend --http-port 8000 &
for i in 0 1; do
  DYN_SYSTEM_PORT=$((9091 + 2 * i)) python3 -m dynamo.vllm --disaggregation-mode prefill &
done
DYN_SYSTEM_PORT=9101 exec python3 -m dynamo.vllm --disaggregation-mode decode""",
        env=(("KV", "x"),),
    )
    assert [program.words[2] for program in found] == ["dynamo.frontend", *["dynamo.vllm"] * 3]
    assert [program.env.get("DYN_SYSTEM_PORT") for program in found] == [None, "9091", "9093", "9101"]
    assert all(program.env["KV"] == "x" for program in found)


def test_the_environment_holds_what_is_exported_and_what_stands_before_the_command() -> None:
    found = script(
        "export A=1 B\nB=2\nC=3\nE=5\nexport D=$(date)\nG=7 env F=6 -u E vllm serve m",
        env=(("E", "4"), ("S", "$(T)")),
        opaque_env=("T",),
    )[0]
    assert dict(found.env) == {"A": "1", "B": "2", "G": "7", "F": "6"}
    assert found.unknown_env == {"D", "S", "T"}


def test_kubernetes_replaces_its_own_references_before_the_shell_reads_the_script() -> None:
    env = (("M", "org/m"), ("ARGS", "--a --b"))
    text = 'vllm serve $(M) $(ARGS) $$(M) "$(SECRET)" $(hostname)'
    assert words(text, env=env, opaque_env=("SECRET",)) == [("vllm", "serve", "org/m", "--a", "--b", U, U, U)]


def test_a_variable_from_a_config_map_that_is_not_there_may_be_anything() -> None:
    assert words("vllm serve ${M:-m} $X", opaque_env=("*",)) == [("vllm", "serve", U, U)]


def test_a_script_that_is_mounted_is_read() -> None:
    files = {"/s/run.sh": "#!/bin/bash\nsource /s/env.sh\nexec vllm serve $1 $X", "/s/env.sh": "X=y\n"}
    assert words("/s/run.sh m", files=files) == [("vllm", "serve", "m", "y")]
    assert words("bash /s/run.sh m", files=files) == [("vllm", "serve", "m", "y")]
    assert words(". /s/run.sh m", files=files) == [("vllm", "serve", U, "y")]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("$CMD serve m", "name of a command"),
        ("eval \"$X\"", "variable"),
        ("bash -s", "input"),
        ("go() { go; }; go", "deeply"),
        ("bash -c 'bash -c \"bash -c \\\"bash -c \\\\\\\"bash -c a\\\\\\\"\\\"\"'", "deeply"),
        ("A=aaaaaaaaaaaaaaaa" + "; A=$A$A" * 30, "steps"),
        ("for i in {1..64}; do for j in {1..64}; do for k in {1..64}; do :; done; done; done", "steps"),
        ("X='" + ":\n" * 900 + "'; for i in {1..64}; do eval \"$X$X$X$X\"; done", "steps"),
        ("for i in {1..64}; do while x; do " + "a=1;" * 900 + " done; done", "steps"),
        ("if a; then b; " + "elif c; then d; " * 200 + "fi", "deeply"),
        ("select x in a b; do vllm serve m; done", "gram"),
        ("vllm serve m &\n" * 70, "steps"),
        ("x" * (64 * 1024 + 1), "64 KiB"),
        ("vllm serve \x01m", "control"),
        ("vllm serve m\r\n", "control"),
    ],
)  # fmt: skip
def test_what_can_not_be_followed_is_opaque_with_its_reason(text: str, part: str) -> None:
    assert part in reason(text)
