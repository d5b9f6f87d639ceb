"""`tokenfactory explain`: from files, from an operator, and through kubectl's port-forward."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tokenfactory.cli.explanation import render
from tokenfactory.cli.main import COMMANDS, build

BUNDLED = Path(str(files("tokenfactory.sandbox").joinpath("bundled")))
FILES = (
    *("-f", str(BUNDLED / "pools.yaml"), "--objects", str(BUNDLED / "objects.yaml")),
    *("--metrics", str(BUNDLED / "metrics")),
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build(COMMANDS), ["explain", *arguments])


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    done = run("deepseek-gb300", "-n", "serving", *FILES, "-o", "json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)
    return found


def test_files_are_explained_as_text_with_formula_section_grade_and_pods() -> None:
    text = run("deepseek-gb300", "-n", "serving", *FILES).output
    for part in (
        "cost.perMillionTokens = 0.1227777777777777777777777778 USD per million tokens (Total)",
        "= windowCost ÷ (inputTokens + outputTokens) × 1000000   [docs/cost-model.md §6]",
        "configured, window 60.0 s; basis: USD per million tokens, Total basis",
        "deepseek-gb300-0 (pod-serving-deepseek-gb300-0): aggregated, NVIDIA-GB300, demo contract",
        "price: USD Factory, demo contract, 2026-11-01",
        "efficiency.ofReference = not known: NotConfigured",
        "optimizations.MultiTokenPrediction.savingPerMillionTokens = 0.24",
    ):
        assert part in text


def test_the_text_says_where_the_pages_came_from(document: dict[str, Any]) -> None:
    query = '{__name__=~"a|b|c",namespace="serving",pod!=""}[38s]'
    recorded = {
        "from": "Prometheus",
        "url": "https://prometheus.monitoring:9090",
        "tenant": "platform",
        "queries": [{"of": "engines", "namespace": "serving", "query": query}],
    }
    assert "pages: read from files" in render(document)
    assert "pages: read from the pods themselves" in render({**document, "pages": {"from": "Pods"}})
    text = render({**document, "pages": recorded})
    assert "pages: as Prometheus scraped them, https://prometheus.monitoring:9090, tenant platform" in text
    assert """  engines of serving: {__name__=~"a|… 2 more names",namespace="serving",pod!=""}[38s]""" in text


def test_json_and_text_come_from_one_document(document: dict[str, object]) -> None:
    assert set(document) == {
        "pool",
        "observationTime",
        "window",
        "pages",
        "price",
        "inputs",
        "figures",
        "pods",
        "beside",
        "frontends",
        "moved",
    }


def test_a_pool_that_is_not_there_and_inputs_that_are_missing_say_so() -> None:
    absent = run("nobody", "-n", "serving", *FILES)
    assert absent.exit_code == 1
    assert "there are no numbers of nobody in serving" in absent.output
    half = run("deepseek-gb300", *FILES[:2])
    assert half.exit_code == 2
    assert "give -f, --objects and --metrics" in " ".join(half.output.split())


@pytest.fixture
def operator(document: dict[str, object]) -> Iterator[int]:
    """An operator's /explain that knows one pool."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            known = asked == {"namespace": ["serving"], "pool": ["deepseek-gb300"]}
            body = json.dumps(document).encode() if known else b"no"
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_operator_behind_a_port_forward_of_ones_own_is_asked(operator: int) -> None:
    url = f"http://127.0.0.1:{operator}"
    assert (
        "cost.perMillionTokens = 0.12277" in run("deepseek-gb300", "-n", "serving", "--operator", url).output
    )
    unknown = run("other", "-n", "serving", "--operator", url)
    assert unknown.exit_code == 1


def test_a_proxy_of_the_environment_is_not_asked(operator: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    url = f"http://127.0.0.1:{operator}"
    assert run("deepseek-gb300", "-n", "serving", "--operator", url).exit_code == 0


def test_an_operator_that_is_not_there_is_told(operator: int) -> None:
    refused = run("p", "--operator", "http://127.0.0.1:9")
    assert refused.exit_code == 2
    assert "can't be asked" in refused.output
    assert run("p", "--operator", "file:///etc/passwd").exit_code == 2


def put_kubectl(folder: Path, monkeypatch: pytest.MonkeyPatch, *, leader: str, forward: str) -> Path:
    """A kubectl on the PATH that knows the leader and forwards; returns the log of its arguments."""
    log = folder / "arguments.log"
    script = folder / "kubectl"
    script.write_text(
        f"#!{sys.executable}\n"
        "import sys, time\n"
        f"open({str(log)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        f"if 'get' in sys.argv: print({leader!r}, end=''); sys.exit()\n"
        "if 'config' in sys.argv: print('serving', end=''); sys.exit()\n"
        f"{forward}\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return log


def test_on_a_cluster_the_leader_is_asked_through_kubectls_port_forward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operator: int
) -> None:
    line = f"Forwarding from 127.0.0.1:{operator} -> 8081"
    forward = f"print({line!r}, flush=True); time.sleep(60)"
    log = put_kubectl(tmp_path, monkeypatch, leader="tokenfactory-operator-7d9-x2", forward=forward)
    done = run("deepseek-gb300", "-n", "serving", "--context", "prod")
    assert done.exit_code == 0, done.output
    assert "cost.perMillionTokens = 0.12277" in done.output
    base = "--context prod -n tokenfactory-system"
    assert log.read_text().splitlines() == [
        f"{base} get lease tokenfactory-operator -o jsonpath={{.spec.holderIdentity}}",
        f"{base} port-forward pod/tokenfactory-operator-7d9-x2 :8081",
    ]


def test_without_a_namespace_the_contexts_own_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operator: int
) -> None:
    line = f"Forwarding from 127.0.0.1:{operator} -> 8081"
    put_kubectl(tmp_path, monkeypatch, leader="a-pod", forward=f"print({line!r}, flush=True); time.sleep(60)")
    assert run("deepseek-gb300").exit_code == 0


def test_from_files_a_name_is_enough_where_it_is_the_only_one() -> None:
    assert run("deepseek-gb300", *FILES).exit_code == 0


def test_what_kubectl_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = "print('Error: pods is forbidden', file=sys.stderr); sys.exit(1)"
    put_kubectl(tmp_path, monkeypatch, leader="a-pod", forward=refusal)
    done = run("p")
    assert done.exit_code == 2
    assert "port-forward pod/a-pod: Error: pods is forbidden" in done.output


def test_a_lease_that_names_no_pod_is_never_passed_on_to_kubectl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = put_kubectl(tmp_path, monkeypatch, leader="--kubeconfig=/tmp/evil", forward="sys.exit(1)")
    done = run("p")
    assert done.exit_code == 2
    assert "no replica of the operator leads" in done.output
    assert "port-forward" not in log.read_text()


def test_without_kubectl_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run("p")
    assert done.exit_code == 2
    assert "give --operator" in done.output


def test_a_folder_that_is_not_there_is_named_in_plain_words(tmp_path: Path) -> None:
    done = run("p", *FILES[:4], "--metrics", str(tmp_path / "pages"))
    assert done.exit_code == 2
    assert "pages: No such file or directory" in done.output
