from dataclasses import replace
from datetime import UTC, datetime

import pytest

from modelport.control.runtime_rules import RuntimeDraft
from modelport.control.version_rules import AutoScaling, VersionDraft, beside, version_from, version_violations
from modelport.core.errors import Violation
from modelport.core.names import ModelName
from modelport.core.replicas import Accelerators, EnvVar
from modelport.core.resources import ContainerSpec, RouteMap, Scaling

MODEL = ModelName("p", "iris")
CONTAINER = ContainerSpec("registry/iris:1")
PLAIN = VersionDraft(id="v1", container=CONTAINER)


def container(**fields: object) -> VersionDraft:
    return replace(PLAIN, container=replace(CONTAINER, **fields))  # type: ignore[arg-type]


def env(*pairs: tuple[str, str]) -> VersionDraft:
    return container(env=tuple(EnvVar(*pair) for pair in pairs))


def routes(predict: str = "", health: str = "") -> VersionDraft:
    return replace(PLAIN, routes=RouteMap(predict, health))


@pytest.mark.parametrize(
    "draft",
    [
        PLAIN,
        replace(PLAIN, id="v" * 128),
        replace(PLAIN, id="v20201131"),
        container(image="/srv/models/my server"),
        container(image="file:///srv/models/iris"),
        container(image="registry:5000/a/b@sha256:" + "0" * 64),
        container(command=("sh", "-c", "exec serve --port $AIP_HTTP_PORT"), args=("",)),
        container(ports=(1, 65535)),
        env(("PORT", "1"), ("_x9", ""), ("A", "1"), ("A", "$(A) twice"), ("aip_x", "")),
        env(*((f"V{i}", "") for i in range(200))),
        routes("/predict", "/health"),
        routes("/", "/a//b/%20/~x;y=1,z@w:v"),
        routes("/v1/models/$(AIP_MODEL_NAME)", "/${AIP_VERSION_NAME}/health"),
        replace(env(("BASE", "/api")), routes=RouteMap("/$(BASE)/x")),
        routes("/$(UNKNOWN)"),
        replace(PLAIN, machine_type="n1-highmem-2"),
        replace(PLAIN, machine_type="mls1-c1-m2"),
        replace(PLAIN, machine_type="n1-standard-4", accelerators=Accelerators(1, "NVIDIA_TESLA_T4")),
        replace(PLAIN, accelerators=Accelerators(8, "NVIDIA_TESLA_A100")),
        replace(PLAIN, auto_scaling=AutoScaling()),
        replace(PLAIN, auto_scaling=AutoScaling(2, 2)),
        replace(PLAIN, manual_nodes=1000),
        replace(PLAIN, labels={f"k{i}": "v" * 63 for i in range(64)}),
        *(
            replace(PLAIN, deployment_uri=uri)
            for uri in (
                "/srv/model",
                "file:///srv/model",
                "gs://b/x y",
                "s3://b",
                "az://c/p",
                "http://h:1/m",
                "https://h",
            )
        ),
    ],
)
def test_a_draft_that_keeps_the_rules_is_fine(draft: VersionDraft) -> None:
    assert version_violations(draft, MODEL) == ()


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        (replace(PLAIN, id=""), "name"),
        (replace(PLAIN, id="1v"), "name"),
        (replace(PLAIN, id="v-1"), "name"),
        (replace(PLAIN, id="v" * 129), "name"),
        (replace(PLAIN, id="vé"), "name"),
        (replace(PLAIN, id="v1\n"), "name"),
        (replace(PLAIN, description="x" * 10_001), "description"),
        (replace(PLAIN, labels={"A": "b"}), "labels"),
        (replace(PLAIN, labels={"a": "B"}), "labels.a"),
        (replace(PLAIN, labels={"a" * 64: ""}), "labels"),
        (replace(PLAIN, labels={f"k{i}": "" for i in range(65)}), "labels"),
        (replace(PLAIN, container=None), "container"),
        (container(image=""), "container.image"),
        (container(image="--privileged"), "container.image"),
        (container(image="a b"), "container.image"),
        (container(image="/srv/a\nb"), "container.image"),
        (container(image="x" * 4097), "container.image"),
        (container(command=("",)), "container.command[0]"),
        (container(command=("a",) * 1001), "container.command"),
        (container(args=("ok", "x" * 131073)), "container.args[1]"),
        (container(ports=(8080, 0)), "container.ports[1].containerPort"),
        (container(ports=(65536,)), "container.ports[0].containerPort"),
        (container(ports=(-1,)), "container.ports[0].containerPort"),
        (container(ports=(1,) * 101), "container.ports"),
        (env(("", "x")), "container.env[0].name"),
        (env(("A", ""), ("1A", "")), "container.env[1].name"),
        (env(("A-B", "")), "container.env[0].name"),
        (env(("A=B", "")), "container.env[0].name"),
        (env(("AIP_HTTP_PORT", "1")), "container.env[0].name"),
        (env(("A", "x" * 131072)), "container.env[0].value"),
        (env(*((f"V{i}", "") for i in range(201))), "container.env"),
        (env(*((f"V{i}", "x" * 100_000) for i in range(6))), "container.env"),
        (routes("predict"), "routes.predict"),
        (routes(health="health"), "routes.health"),
        (routes("/a b"), "routes.predict"),
        (routes("/a?b=c"), "routes.predict"),
        (routes("/a#b"), "routes.predict"),
        (routes("/a\r\nX: y"), "routes.predict"),
        (routes('/"'), "routes.predict"),
        (routes("/%zz"), "routes.predict"),
        (routes("/\\"), "routes.predict"),
        (routes("/" + "x" * 1024), "routes.predict"),
        (routes("/ü"), "routes.predict"),
        (routes("/{x}"), "routes.predict"),
        (routes("/${AIP_NO_SUCH}"), "routes.predict"),
        (replace(env(("BASE", "a b")), routes=RouteMap("/$(BASE)")), "routes.predict"),
        (replace(env(("BASE", "a\r\nb")), routes=RouteMap(health="/$(BASE)")), "routes.health"),
        (replace(env(("BASE", "x" * 2000)), routes=RouteMap("/$(BASE)")), "routes.predict"),
        (replace(PLAIN, machine_type="n1-standard4"), "machineType"),
        (replace(PLAIN, machine_type="e2-standard-4"), "machineType"),
        (
            replace(PLAIN, machine_type="mls1-c1-m2", accelerators=Accelerators(1, "NVIDIA_TESLA_T4")),
            "acceleratorConfig",
        ),
        (replace(PLAIN, accelerators=Accelerators(0, "NVIDIA_TESLA_T4")), "acceleratorConfig.count"),
        (replace(PLAIN, accelerators=Accelerators(65, "NVIDIA_TESLA_T4")), "acceleratorConfig.count"),
        (replace(PLAIN, accelerators=Accelerators(1, "")), "acceleratorConfig.type"),
        (replace(PLAIN, accelerators=Accelerators(1, "TPU_V2")), "acceleratorConfig.type"),
        (replace(PLAIN, accelerators=Accelerators(1, "T4")), "acceleratorConfig.type"),
        (replace(PLAIN, auto_scaling=AutoScaling(0)), "autoScaling.minNodes"),
        (replace(PLAIN, auto_scaling=AutoScaling(1001)), "autoScaling.minNodes"),
        (replace(PLAIN, auto_scaling=AutoScaling(2, 1)), "autoScaling.maxNodes"),
        (replace(PLAIN, auto_scaling=AutoScaling(1, 2)), "autoScaling.maxNodes"),
        (replace(PLAIN, auto_scaling=AutoScaling(metrics=True)), "autoScaling.metrics"),
        (replace(PLAIN, manual_nodes=0), "manualScaling.nodes"),
        (replace(PLAIN, manual_nodes=1001), "manualScaling.nodes"),
        (replace(PLAIN, manual_nodes=1, auto_scaling=AutoScaling()), "manualScaling"),
        (replace(PLAIN, refused=("serviceAccount",)), "serviceAccount"),
        (replace(PLAIN, refused=("requestLoggingConfig",)), "requestLoggingConfig"),
        (replace(PLAIN, refused=("explanationConfig",)), "explanationConfig"),
        *(
            (replace(PLAIN, deployment_uri=uri), "deploymentUri")
            for uri in (
                "model",
                "./model",
                "gs:bucket",
                "gcs://bucket",
                "file://model",
                "gs://",
                "gs:///x",
                "https://",
                "/srv/\0x",
                "gs://b/\n",
                "GS://b",
                "/" + "x" * 4096,
            )
        ),
    ],
)
def test_a_draft_that_breaks_a_rule_names_the_field(draft: VersionDraft, field: str) -> None:
    assert [violation.field for violation in version_violations(draft, MODEL)] == [f"version.{field}"]


def test_routes_without_a_container_miss_it() -> None:
    draft = VersionDraft(id="v1", routes=RouteMap("/predict"))
    assert [v.field for v in version_violations(draft, MODEL)] == ["version.container", "version.routes"]


def test_a_framework_beside_a_container_is_a_contradiction_field_by_field() -> None:
    runtime = RuntimeDraft("SCIKIT_LEARN", "2026.11", "3.11", ("/a.whl",), "a.B")
    found = version_violations(replace(PLAIN, runtime=runtime), MODEL)
    fields = ("framework", "runtimeVersion", "pythonVersion", "packageUris", "predictionClass")
    assert [violation.field for violation in found] == [f"version.{name}" for name in fields]
    assert all("together with `container`" in violation.description for violation in found)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("n1-standard4", "n1-standard-4"), ("n1-standart-8", "n1-standard-8"), ("mls1-c1", "mls1-c1-m2")],
)
def test_an_unknown_machine_type_is_answered_with_the_nearest(written: str, meant: str) -> None:
    (violation,) = version_violations(replace(PLAIN, machine_type=written), MODEL)
    assert f"did you mean `{meant}`?" in violation.description


def test_what_only_follows_from_an_unreadable_field_is_left_out() -> None:
    unreadable = (Violation("version.container", "It is a list."), Violation("version.labels.a", "It is null."))
    found = [
        Violation("version.container", "It is missing."),
        Violation("version.container.image", "It is empty."),
        Violation("version.containers", "It stays."),
    ]
    assert [v.description for v in beside(unreadable, found)] == ["It is a list.", "It is null.", "It stays."]


@pytest.mark.parametrize(
    ("draft", "scaling", "nodes"),
    [
        (PLAIN, Scaling.DEFAULT, 1),
        (replace(PLAIN, manual_nodes=3), Scaling.MANUAL, 3),
        (replace(PLAIN, auto_scaling=AutoScaling()), Scaling.AUTO, 1),
        (replace(PLAIN, auto_scaling=AutoScaling(4)), Scaling.AUTO, 4),
    ],
)
def test_a_version_remembers_how_its_nodes_were_stated(draft: VersionDraft, scaling: Scaling, nodes: int) -> None:
    version = version_from(draft, MODEL, uid="u", now=datetime(2026, 1, 1, tzinfo=UTC))
    assert (version.scaling, version.nodes, version.generation) == (scaling, nodes, 1)
