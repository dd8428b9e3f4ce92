"""The parts of the template that a fork may do without.

A part has files of its own, listed here, and lines in files that it shares with others. Those are marked in a comment:

- a line that ends with `part: NAME` goes with the part;
- a comment line that begins with `part: NAME` goes with what follows it, up to `end: NAME` or the next empty line; in a
  document, before a heading, up to the next heading of that level.

`src/slipway` stays as it is: a part's code there does nothing without its settings, and updates of the template
merge without conflicts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One part. paths: files and folders. with_it: parts that are of no use without it."""

    about: str
    paths: tuple[str, ...]
    with_it: tuple[str, ...] = ()


OPS, PIPELINE, SERVING = "tests/template/ops/", "tests/template/pipeline/", "tests/template/serving/"
PARTS = {
    "kubernetes": Part(
        "deployment to Kubernetes: manifests, the jobs Cluster, Staging and Production",
        (
            *("k8s", "docs/kubernetes.md", "monitoring/grafana/kustomization.yaml", "tests/template/cluster"),
            *(".ci/deploy", ".ci/cluster-credentials", ".ci/tools", ".github/workflows/deploy.yml"),
            *(f"{OPS}{name}.py" for name in ("manifests", "custom_resources")),
            *(f"{OPS}test_{name}.py" for name in ("manifests", "canary", "deploy", "predict_cronjob")),
            f"{OPS}stand-ins/kubectl",
        ),
        ("gitops",),
    ),
    "gitlab": Part(
        "GitLab CI/CD",
        (
            *(".gitlab-ci.yml", "docs/gitlab.md", ".ci/engine", ".ci/may-push", ".ci/publish"),
            *(f"{OPS}test_gitlab.py", f"{PIPELINE}gitlab.py", f"{PIPELINE}test_gitlab.py"),
        ),
    ),
    "monitoring": Part(
        "Prometheus' rules, Alertmanager, Grafana's dashboards, runbooks",
        (
            *("monitoring", "docs/monitoring.md", "docs/runbooks", "tests/template/watched.py"),
            *(f"docs/images/{name}" for name in ("drift.png", "drift.py", "turn.png")),
            *("k8s/rules.py", "k8s/components/monitoring-operator", "k8s/components/canary"),
            *(f"{OPS}test_{name}.py" for name in ("alertmanager", "canary", "dashboards", "prometheus_psi")),
            *(f"{OPS}test_{name}.py" for name in ("demo", "expected_accuracy", "psi_threshold", "rules", "traffic")),
        ),
    ),
    "compose": Part(
        "the local stack: docker-compose.yml, `make up`",
        (
            *("docker-compose.yml", f"{OPS}test_compose.py"),
            *(f"{OPS}stand-ins/{name}" for name in ("Dockerfile", "postgres-entrypoint")),
        ),
        ("mlflow-server",),
    ),
    "mlflow-server": Part("MLflow's server with PostgreSQL, in the local stack", ("stack/mlflow",)),
    "signing": Part(
        "signatures of the model",
        (
            *("requirements-signing.txt", "docs/signing.md", "tests/template/unit/test_signature.py"),
            *(f"{OPS}test_signing.py", f"{SERVING}signing.py", f"{SERVING}test_signature.py"),
        ),
    ),
    "scan": Part(
        "scans of the image (grype), the code (CodeQL) and the repository (Scorecard)",
        (
            *(f".github/workflows/{name}.yml" for name in ("scan", "codeql", "scorecard")),
            *("stack/accepted.py", f"{OPS}test_accepted.py"),
        ),
    ),
    "gitops": Part("Argo CD and Flux", ("k8s/gitops", f"{OPS}test_gitops.py")),
    "editor": Part(
        "VS Code's settings and the development container",
        (".vscode", ".devcontainer", "tests/template/unit/test_editor.py"),
    ),
    "pre-commit": Part(
        "checks before each commit", (".pre-commit-config.yaml", "tests/template/unit/test_pre_commit.py")
    ),
    "notebooks": Part("notebooks, and the CI step that executes them", ("notebooks",)),
    "benchmarks": Part("benchmarks and mutation testing of the template", ("benchmarks", "docs/performance.md")),
    "search": Part(
        "the search for better parameters",
        ("docs/search.md", "k8s/components/search", "stack/search", "stack/search.mk", "tests/template/search"),
    ),
    "predict-image": Part(
        "the image of `slipway predict`, and the CronJob that runs it every night",
        ("k8s/components/predict", "stack/predict", *(f"{OPS}test_predict_{name}.py" for name in ("image", "cronjob"))),
    ),
    "spark": Part("the example for Spark", ("examples", "docs/scale.md", "benchmarks/spark.py")),
    "wandb": Part(
        "the copy of MLflow's record in Weights & Biases", ("tests/template/unit/tracking/test_weights_and_biases.py",)
    ),
}
