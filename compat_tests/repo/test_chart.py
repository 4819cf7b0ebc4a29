"""The Helm chart, rendered by Go's templates as Helm does it, and read as a cluster would.

There is no cluster here, and no Helm: what is rendered is taken apart, its names have to lead to
each other, and the broker's own loader reads the environment that each pod would have.
"""

import json
import re
import subprocess
from typing import Any

import pytest
import yaml

from compat_tests.repo.commands import parse
from compat_tests.repo.files import ROOT, read
from compat_tests.support.environments import MissingClientError
from compat_tests.support.toolchains import go
from gateway.settings.config import Config
from gateway.settings.load import load_config
from gateway.settings.options import OPTIONS

CHART = "docker/helm"
ONE = {"data": "s3://my-bucket/broker"}
THREE: dict[str, Any] = {
    **ONE,
    "replicas": 3,
    "etcd": {
        "endpoints": ["https://etcd-0:2379", "https://etcd-1:2379"],
        "userSecret": "etcd-user",
        "tlsSecret": "etcd-tls",
        "showCertificate": True,
    },
    "settings": {"flush_preset": "cost", "logs_count": 12},
    "keySecrets": ["bucket-keys"],
    "env": [{"name": "AWS_REGION", "value": "eu-1"}],
    "podLabels": {"team": "data"},
    "podAnnotations": {"note": "x"},
    "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:x"}},
    "imagePullSecrets": [{"name": "pull"}],
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "k", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}
Manifest = dict[str, Any]


def rendered(values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    try:
        program = go("chart")
    except MissingClientError as error:
        pytest.skip(f"charts cannot be rendered here: {error}")
    return subprocess.run(
        [*program, str(ROOT / CHART), "kafka", "prod"],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def manifests(values: dict[str, Any]) -> dict[tuple[str, str], Manifest]:
    """By kind and name."""
    done = rendered(values)
    assert done.returncode == 0, done.stderr
    found: dict[tuple[str, str], Manifest] = {}
    for text in json.loads(done.stdout).values():
        assert "<no value>" not in text
        for manifest in filter(None, yaml.safe_load_all(text)):
            key = manifest["kind"], manifest["metadata"]["name"]
            assert key not in found
            assert manifest["metadata"]["namespace"] == "prod"
            found[key] = manifest
    return found


@pytest.fixture(scope="module", params=[ONE, THREE], ids=["one", "three"])
def made(request: pytest.FixtureRequest) -> dict[tuple[str, str], Manifest]:
    return manifests(request.param)


def pods(made: dict[tuple[str, str], Manifest]) -> Manifest:
    spec: Manifest = made["StatefulSet", "kafka"]["spec"]
    return spec


def environ(container: Manifest, pod: int) -> dict[str, str]:
    """As the pod of that number would see it, but for what comes from secrets."""
    fields = {
        "metadata.name": f"kafka-{pod}",
        "metadata.labels['apps.kubernetes.io/pod-index']": str(pod),
        "metadata.labels['topology.kubernetes.io/zone']": "zone-b",
    }
    found: dict[str, str] = {}
    for row in container["env"]:
        source = row.get("valueFrom", {})
        if "secretKeyRef" in source:
            value = "from-a-secret"
        elif "fieldRef" in source:
            value = fields[source["fieldRef"]["fieldPath"]]
        else:
            value = row["value"]
        assert row["name"] not in found
        # Variables above may be named, as a cluster expands them.
        found[row["name"]] = re.sub(r"\$\((\w+)\)", lambda name: found[name[1]], value)
    return found


def test_what_there_is(made: dict[tuple[str, str], Manifest]) -> None:
    assert set(made) == {
        ("StatefulSet", "kafka"),
        ("Service", "kafka"),
        ("Service", "kafka-pods"),
        ("PodDisruptionBudget", "kafka"),
        ("ServiceAccount", "kafka"),
    }


def test_names_lead_to_each_other(made: dict[tuple[str, str], Manifest]) -> None:
    spec = pods(made)
    template = spec["template"]
    labels = template["metadata"]["labels"].items()
    (container,) = template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    selectors = [spec["selector"]["matchLabels"]]
    selectors += [
        row["labelSelector"]["matchLabels"] for row in template["spec"]["topologySpreadConstraints"]
    ]
    selectors.append(made["PodDisruptionBudget", "kafka"]["spec"]["selector"]["matchLabels"])
    for name in ("kafka", "kafka-pods"):
        service = made["Service", name]["spec"]
        selectors.append(service["selector"])
        for port in service["ports"]:
            assert ports[port["targetPort"]] == port["port"]
    assert all(selector and selector.items() <= labels for selector in selectors)
    assert made["Service", spec["serviceName"]]["spec"]["clusterIP"] == "None"
    assert ("ServiceAccount", template["spec"]["serviceAccountName"]) in made
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in template["spec"]["volumes"]}
    for probe, path in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}


def test_the_broker_reads_its_environment(made: dict[tuple[str, str], Manifest]) -> None:
    (container,) = pods(made)["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    configs = []
    for pod in range(pods(made)["replicas"]):
        config = load_config({}, environ(container, pod))
        host, port = config.advertised(config.listen_port)
        assert host == f"kafka-{pod}.kafka-pods.prod.svc.cluster.local"
        assert port == config.listen_port == ports["kafka"]
        assert config.metrics_listen_port == ports["metrics"]
        assert config.listen_host == config.metrics_listen_host == "0.0.0.0"
        assert (config.node_id, config.rack) == (pod, "zone-b")
        configs.append(config)
    assert {config.data for config in configs} == {"s3://my-bucket/broker"}
    if len(configs) > 1:
        assert {config.etcd for config in configs} == {"https://etcd-0:2379,https://etcd-1:2379"}
        assert {config.flush_preset for config in configs} == {"cost"}
        assert {config.logs_count for config in configs} == {12}
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        for path in (config.etcd_password_file, config.etcd_ca_file, config.etcd_key_file):
            assert path is not None and path.rpartition("/")[0] in mounts


def test_every_setting_can_be_given() -> None:
    named = {option.key: "x" for option in OPTIONS}
    (container,) = pods(manifests({**ONE, "settings": named}))["template"]["spec"]["containers"]
    assert {option.env for option in OPTIONS} <= {row["name"] for row in container["env"]}


def test_the_pod_is_the_images(made: dict[tuple[str, str], Manifest]) -> None:
    spec = pods(made)["template"]["spec"]
    (container,) = spec["containers"]
    parse(container["args"])
    assert f"--uid {spec['securityContext']['runAsUser']} " in read("docker/Dockerfile")
    assert spec["terminationGracePeriodSeconds"] * 1000 > Config().drain_ms


@pytest.mark.parametrize(
    ("values", "said"),
    [({}, "data: the bucket"), ({**ONE, "replicas": 2}, "replicas above 1 need etcd.endpoints")],
)
def test_what_cannot_work_is_refused(values: dict[str, Any], said: str) -> None:
    done = rendered(values)
    assert done.returncode != 0
    assert said in done.stderr


def test_every_value_is_used_and_every_use_has_a_default() -> None:
    templates = "".join(path.read_text() for path in (ROOT / CHART / "templates").iterdir())
    values = yaml.safe_load(read(f"{CHART}/values.yaml"))
    used = set(re.findall(r"\.Values\.(\w+)", templates))
    assert used == set(values)
    for name in ("image", "service", "serviceAccount", "ports"):
        inner = set(re.findall(rf"\.Values\.{name}\.(\w+)", templates))
        assert inner == set(values[name]), name


def test_the_chart_is_of_this_release() -> None:
    chart = yaml.safe_load(read(f"{CHART}/Chart.yaml"))
    (version,) = re.findall(r'^version = "(.*)"', read("pyproject.toml"), re.MULTILINE)
    assert chart["appVersion"] == version
