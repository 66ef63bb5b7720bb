"""Cases in which no container starts: the spec, the image's name, the registry, the build, the engine."""

from tests.containers.container import DOCKER, PODMAN, Container, Edit, Elsewhere, Respec
from tests.containers.servers import FLASK, FLASK_RUN

BOTH = (PODMAN, DOCKER)
APP = {"app.py": FLASK + FLASK_RUN}

CASES = (
    Container(
        # The spelling of the old sample specs.
        name="spec-with-an-old-spelling",
        code="SPEC_INVALID",
        files=APP,
        version={"machineType": "n1-standard4"},
        evidence=r"n1-standard4",
        remedy=Respec({"machineType": "n1-standard-4"}),
    ),
    Container(
        name="spec-sets-reserved-variables",
        code="SPEC_INVALID",
        files=APP,
        version={"container": {"env": [{"name": "AIP_HTTP_PORT", "value": "5000"}]}, "routes": {"health": "health"}},
        evidence=r"AIP_HTTP_PORT",
        remedy=Respec({"container": {"env": None}, "routes": {"health": "/health"}}),
    ),
    Container(
        name="image-that-does-not-exist",
        code="IMAGE_NOT_FOUND",
        dockerfile="",
        version={"container": {"image": "localhost/modelport-test-no-such-image:1"}},
        evidence=r"localhost/modelport-test-no-such-image:1",
        remedy=Elsewhere(),
        engines=BOTH,
    ),
    Container(
        # On loopback Docker does without TLS, Podman does not.
        name="registry-that-lets-nobody-in",
        code="IMAGE_UNAUTHORIZED",
        dockerfile="",
        version={"container": {"image": "{refusing}/private/model:1"}},
        evidence=r"/private/model:1",
        remedy=Elsewhere(),
        engines=(DOCKER,),
    ),
    Container(
        name="engine-that-is-not-there",
        code="ENGINE_UNREACHABLE",
        files=APP,
        evidence=r"(?i)sock|engine",
        remedy=Elsewhere(),
        engine_url="unix:///nonexistent/engine.sock",
    ),
    Container(
        name="build-step-that-fails",
        code="IMAGE_BUILD_FAILED",
        files=APP,
        dockerfile='COPY . .\nRUN test -d /opt/models\nCMD ["python", "app.py"]\n',
        evidence=r"(?i)test -d /opt/models|exit status 1|non-zero code",
        remedy=(Edit("Dockerfile", "RUN test -d /opt/models\n", ""),),
        engines=BOTH,
        builds=False,
    ),
    Container(
        name="file-that-is-not-in-the-build",
        code="IMAGE_BUILD_FAILED",
        files=APP,
        dockerfile='COPY . .\nCOPY model.pkl /models/\nCMD ["python", "app.py"]\n',
        evidence=r"model\.pkl",
        remedy=(Edit("Dockerfile", "COPY model.pkl /models/\n", ""),),
        builds=False,
    ),
)
