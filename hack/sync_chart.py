#!/usr/bin/env python3
"""Write the chart's CRD templates from crds/: `make crds` runs it after rendering those from the models."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CRDS = ROOT / "crds"
TEMPLATES = ROOT / "charts" / "tokenfactory" / "templates" / "crds"
HEADER = "{{- /* Generated from crds/ by `make crds`. */ -}}\n{{- if .Values.crds.enabled }}\n"
KEEP = """\
  labels:
    {{- include "tokenfactory.labels" . | nindent 4 }}
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
"""


def render(crd: str) -> str:
    """The template of one CRD. Raises ValueError for a text that can't be made one as it is."""
    if "{{" in crd:
        raise ValueError("the CRD holds {{, which Helm would take for an action")
    head, mark, rest = crd.partition("\nspec:\n")
    if not mark or not head.splitlines()[-1].startswith("  name: ") or head.splitlines()[-2] != "metadata:":
        raise ValueError("the CRD's metadata is expected to be its name only, right before its spec")
    bare = "\n".join(line for line in head.splitlines() if not line.startswith("#"))
    return HEADER + bare + "\n" + KEEP + "spec:\n" + rest + "{{- end }}\n"


def rendered() -> dict[str, str]:
    """File name → text of every CRD template that the chart has to hold."""
    return {path.name: render(path.read_text(encoding="utf-8")) for path in sorted(CRDS.glob("*.dev_*.yaml"))}


def main() -> None:
    TEMPLATES.mkdir(parents=True, exist_ok=True)
    texts = rendered()
    for path in TEMPLATES.glob("*.yaml"):
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        (TEMPLATES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
