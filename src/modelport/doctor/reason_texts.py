"""The words: for each reason why it comes and what to do, and for the gateway's own also what it means.

Errors of the platform say what they mean in `core/errors.py`.
"""

from __future__ import annotations

_LOGS = "`modelport logs MODEL/VERSION`"
_DESCRIBE = "`modelport versions describe VERSION --model MODEL`"
_CHECK = "`modelport check`"

# Meaning, why, what to do.
GATEWAY: dict[str, tuple[str, str, str]] = {
    "QUEUE_FULL": (
        "All replicas of the version are busy, and as many requests wait as may wait.",
        "More requests come in than the replicas answer: either there are too many, or each takes too long.",
        "Wait and send again (Retry-After says when). If it goes on: more replicas (manualScaling.nodes), a faster"
        " predict, or more room with MODELPORT_MAX_CONCURRENCY (requests at one time on one replica) and"
        " MODELPORT_MAX_QUEUE. A server that answers one request at a time makes all others wait.",
    ),
    "QUEUE_TIMEOUT": (
        "The request waited for a free replica for as long as it may, and none became free.",
        "Every replica had as many requests under way as it may have, for the whole time. Often one replica hangs: it"
        " takes requests and does not answer.",
        f"Look whether replicas still answer: {_LOGS}. If they are only slow: more replicas (manualScaling.nodes). The"
        " longest wait is MODELPORT_QUEUE_TIMEOUT_S.",
    ),
    "REPLICA_FAILED": (
        "No replica accepted the connection, on any of the tries.",
        "The server in the container has ended or no longer accepts connections, and the gateway had not noticed yet."
        " The request was never received, so it is safe to send it again.",
        f"Send it again. If it comes back: {_LOGS} shows how the replica ended, {_DESCRIBE} whether it is started"
        " again.",
    ),
    "NO_HEALTHY_REPLICA": (
        "No replica of the version accepts connections now.",
        "All of them have crashed, are being started again, or fail their health checks.",
        f"{_DESCRIBE} shows the replicas and why they are not healthy; {_LOGS} what they wrote last. A crash under"
        " load is often memory: choose a larger machineType or fewer workers.",
    ),
    "REPLICA_TIMEOUT": (
        "A replica got the request and sent nothing for as long as it may be silent.",
        "The prediction takes longer than allowed, or the server hangs. A model that is loaded with the first request"
        " makes that one slow.",
        "Load the model before the server listens; send fewer instances in a request; or allow more time with"
        " MODELPORT_PREDICT_TIMEOUT_S. The replica may still work on it: sending it again adds to its load.",
    ),
    "REPLICA_BAD_RESPONSE": (
        "A replica took the request and closed the connection without a whole answer in HTTP.",
        "The worker that had the request crashed or was killed (out of memory, a worker timeout of gunicorn), or what"
        " listens on the port does not speak HTTP.",
        f"{_LOGS} shows what happened at that time: look for `Killed`, `signal 9`, `WORKER TIMEOUT`, a traceback. It"
        f" is not sent again by itself, because it was received. {_CHECK} tries it outside of production.",
    ),
    "PAYLOAD_TOO_LARGE": (
        "The request's body is larger than it may be.",
        "Its declared size (Content-Length) is above MODELPORT_MAX_REQUEST_BYTES.",
        "Send fewer instances in a request, compress images instead of sending arrays of numbers, or raise"
        " MODELPORT_MAX_REQUEST_BYTES.",
    ),
    "RESPONSE_TOO_LARGE": (
        "The replica's answer is larger than it may be.",
        "Its declared size is above MODELPORT_MAX_RESPONSE_BYTES: often probabilities or images as lists of numbers.",
        "Send fewer instances in a request, answer with less, or raise MODELPORT_MAX_RESPONSE_BYTES.",
    ),
    "CONTROL_PLANE_DOWN": (
        "The gateway runs, and the control plane behind it does not answer. Predictions go on.",
        "`modelport serve` has ended or hangs. Only the API needs it: models, versions, logs, status. A path that is no"
        " known prediction goes there too, so a misspelt model shows as this.",
        "Start `modelport serve` again with the same --data-dir: it takes over what runs. For a prediction: check the"
        " names of model and version.",
    ),
    "GATEWAY_STARTING": (
        "The gateway has just started and does not know its routes yet.",
        "HAProxy was started anew, and the control plane publishes the routes within a moment.",
        "Send it again after a second. If it stays: is `modelport serve` running? `modelport status` tells.",
    ),
    "MALFORMED_REQUEST": (
        "What arrived is not well-formed HTTP/1.1, or its path holds a null byte.",
        "A client that speaks another protocol to this port (TLS, HTTP/2, gRPC), or a broken one.",
        "Use http:// and HTTP/1.1. For TLS put another proxy in front.",
    ),
    "REQUEST_TIMEOUT": (
        "The request did not arrive completely in time.",
        "The client opened a connection and did not send its whole head within 20 seconds: a slow network, or a client"
        " that declares a larger Content-Length than it sends.",
        "Send it again; if it comes back, look at the client and at what stands between.",
    ),
    "METHOD_NOT_ALLOWED": (
        "The path exists, with another HTTP method.",
        "A prediction is a POST request. Of other paths `Allow` in the answer names the methods.",
        "Send POST with a JSON body: `curl -X POST URL -H 'Content-Type: application/json' -d '{\"instances\": […]}'`.",
    ),
}

# Of the command line: meaning, why, what to do.
COMMAND_LINE: dict[str, tuple[str, str, str]] = {
    "USAGE": (
        "The command line, or a file that it names, is wrong; nothing was sent.",
        "An option, a name or a field of the spec file cannot be meant as it is written.",
        "Read the message: it names what is wrong. `modelport COMMAND --help` shows the options.",
    ),
    "HTTP_ERROR": (
        "The web framework refused the request before any method saw it.",
        "The request is malformed in a way that no method of the API can answer.",
        "Compare the request with the reference of the API.",
    ),
}

_AGAIN = "Try again; if it comes back, look at `modelport status` and `modelport doctor`."
_SYNTAX = "Read `fieldViolations` in the details: each names the field and what to write instead."

# Why, what to do.
CONTROL_PLANE: dict[str, tuple[str, str]] = {
    "INVALID_ARGUMENT": ("A field is missing, misspelt, or has a value that it cannot have.", _SYNTAX),
    "PAYLOAD_TOO_LARGE": GATEWAY["PAYLOAD_TOO_LARGE"][1:],
    "ARTIFACT_REFUSED": (
        "deploymentUri holds more files or bytes than allowed, or a link that leads out of it.",
        "Point deploymentUri at the model's own folder, or raise MODELPORT_ARTIFACT_MAX_FILES or"
        " MODELPORT_ARTIFACT_MAX_BYTES.",
    ),
    "NOT_FOUND": ("The name is misspelt, belongs to another project, or was deleted.", "Check name and --project."),
    "MODEL_NOT_FOUND": (
        "The name is misspelt, the model was deleted, or it belongs to another project.",
        "`modelport models list` shows the models of the project; --project chooses another.",
    ),
    "VERSION_NOT_FOUND": (
        "The name is misspelt, or the version was deleted.",
        "`modelport versions list --model MODEL` shows the versions.",
    ),
    "OPERATION_NOT_FOUND": (
        "The name is misspelt, or the operation ended so long ago that it was forgotten (MODELPORT_OPERATION_DAYS).",
        "`modelport operations list` shows what there is.",
    ),
    "METHOD_NOT_FOUND": (
        "The path is that of no method: a misspelt path, or a method of another API version.",
        "Compare the path with the reference of the API; Google's clients take it from the discovery document.",
    ),
    "REQUEST_NOT_FOUND": (
        "The gateway remembers requests that failed, about the last thousand, until HAProxy itself is started anew."
        " Good requests are not remembered.",
        "Explain the reason that stands beside the id, or let the request fail once more.",
    ),
    "ARTIFACT_NOT_FOUND": (
        "Nothing lies at deploymentUri: misspelt, another bucket, or not uploaded yet.",
        "List it with the store's own tool, and correct deploymentUri.",
    ),
    "IMAGE_NOT_FOUND": (
        "The registry has no such repository or tag, or the image was built into another engine than the one in use.",
        "Pull it by hand with the same engine; correct container.image.",
    ),
    "ALREADY_EXISTS": (
        "A model or version of this name is there. A version never changes once it was created.",
        "Choose another name, or delete the old one first.",
    ),
    "PERMISSION_DENIED": ("It is not allowed to whoever asked.", "Read the message: it names what is not allowed."),
    "ARTIFACT_UNAUTHORIZED": (
        "The object store wants credentials, or does not allow these to read there.",
        "Give the control plane credentials that may list and read deploymentUri, in its environment.",
    ),
    "IMAGE_UNAUTHORIZED": (
        "The registry wants a login, or does not allow this one to pull. Some registries say so of images that do not"
        " exist, too.",
        "`docker login REGISTRY` (or `podman login`) as the user that `modelport serve` runs as, and check the name.",
    ),
    "BROWSER_REFUSED": (
        "The request carries `Origin`, as only browsers send it: a page could belong to anybody.",
        "Use the command line, the SDK or curl.",
    ),
    "FAILED_PRECONDITION": (
        "Something else must be done or be there first.",
        "Read the message and its hint: they name it.",
    ),
    "VERSION_NOT_READY": (
        "The version is still being made, has failed, or is being deleted.",
        f"{_DESCRIBE} shows how far it is, and the cause where it failed.",
    ),
    "VERSION_BUSY": (
        "An operation on the version has not ended.",
        "`modelport operations list` shows it; wait for it or cancel it.",
    ),
    "VERSION_IS_DEFAULT": (
        "A model answers with its default version, so that one goes last.",
        "Make another version the default first: `modelport versions set-default VERSION --model MODEL`.",
    ),
    "MODEL_HAS_VERSIONS": ("Deleting a model does not delete what serves.", "Delete its versions first."),
    "NO_DEFAULT_VERSION": (
        "No version was made the default, or it was deleted.",
        "Name a version, or set one: `modelport versions set-default VERSION --model MODEL`.",
    ),
    "REPLICA_CANNOT_START": (
        "The engine took the container's specification and refused to run it.",
        f"Read what it says in the message; {_CHECK} tries the image by itself.",
    ),
    "VERSION_CANNOT_BECOME_READY": (
        "The container ended, listens where nobody looks, or does not answer its health route.",
        f"Read the finding in the details: it names cause, proof and fix. {_CHECK} tries again within seconds.",
    ),
    "IMAGE_BUILD_FAILED": (
        "A step of the Dockerfile failed, or its base image could not be had.",
        "Read the last lines of the build: they are the step's own.",
    ),
    "ENVIRONMENT_BUILD_FAILED": (
        "The libraries of the runtime version, or a package of `packageUris`, cannot be installed.",
        "Read the last lines: they are the installer's own. Index and proxy are those of where `modelport serve` runs.",
    ),
    "MODEL_CANNOT_BE_LOADED": (
        "The files are of no framework that is known, of another one than was named, or of a library that is missing.",
        "Name `framework`, and the folder in which the model's files themselves lie.",
    ),
    "ROUTE_NOT_FOUND": (
        "The request names no model or route, or one that the listener or the server of several models does not have.",
        "Take one of the names that the message lists: in the header, field or path that the container reads.",
    ),
    "STEP_TIMEOUT": (
        "The model server behind a listener is slow, hangs, or waits for one of its own places.",
        "`server-timing` of other answers shows how long the step takes; raise its `timeout_s`, or its `concurrency`.",
    ),
    "MODEL_SERVER_DOWN": (
        "The model server behind a listener is being started, has ended, or closed the connection.",
        f"Retry; if it goes on, {_LOGS} shows what the model server wrote last. Out of memory is the usual cause.",
    ),
    "MODEL_UNUSABLE": (
        "A request made the GPU fail in a way that takes it from the whole process; the process is being replaced.",
        "Retry. If it goes on, look for rows that the model has no place for, such as words beyond its table.",
    ),
    "MODEL_SERVER_FAILED": (
        "The model server behind a listener answered with a code of 500 or more.",
        f"The message has its words; {_LOGS} shows its log.",
    ),
    "MODEL_SERVER_GARBLED": (
        "The declared `format` or `path` of the model is not what its server speaks, or the port is not an HTTP one.",
        "Compare `format`, `path` and `url` in listener.yaml with the model server's own documentation.",
    ),
    "DATA_DIR_IN_USE": (
        "`modelport serve` holds its data directory for as long as it lives.",
        "Use the one that runs, stop it, or choose another --data-dir and --listen.",
    ),
    "ABORTED": ("Somebody else changed it in between, or `etag` is old.", "Read it again, then retry."),
    "CANCELLED": ("Somebody cancelled the operation.", "Start it again if it was not meant."),
    "RESOURCE_EXHAUSTED": ("A limit of the platform is reached.", "Read the message: it names limit and setting."),
    "NO_SPACE": (
        "The disk of the data directory or of the container engine is full.",
        "`modelport doctor` shows both; remove images and versions that nobody needs (`docker image prune`).",
    ),
    "SLOTS_EXHAUSTED": (
        "Each live version takes a slot of the gateway, and leaving ones keep theirs until their requests end.",
        "Delete versions, or start with more (MODELPORT_SLOTS).",
    ),
    "DEADLINE_EXCEEDED": ("It took longer than it may.", _AGAIN),
    "UNAVAILABLE": ("Something that is needed does not answer now.", _AGAIN),
    "ENGINE_UNREACHABLE": (
        "Docker or Podman does not run, its socket is elsewhere, or it may not be opened by this user.",
        "Start the engine, set DOCKER_HOST, or join the group that may use it; `modelport doctor` tells which.",
    ),
    "ARTIFACT_STORE_UNAVAILABLE": (
        "The object store does not answer: network, DNS, a proxy, or the store itself.",
        "Reach it from the control plane's machine with the store's own tool.",
    ),
    "GATEWAY_UNAVAILABLE": (
        "HAProxy is being started again, or does not answer on its admin socket in time.",
        "It is started again by itself; `modelport status` shows whether it stays up.",
    ),
    "CONTROL_PLANE_UNREACHABLE": (
        "Nothing answers at the endpoint: the platform does not run, or the endpoint is another one.",
        "Start `modelport serve`, or set --endpoint (MODELPORT_ENDPOINT).",
    ),
    "CONTROL_PLANE_DOWN": GATEWAY["CONTROL_PLANE_DOWN"][1:],
    "UNIMPLEMENTED": (
        "The original API has it, modelport does not.",
        "Read the hint: where there is another way, it names it.",
    ),
    "UNAUTHENTICATED": ("The call carries no credentials, or they have expired.", "Send valid credentials."),
    "INTERNAL": (
        "A defect of modelport, or of what it stands on.",
        "Look for the request id in the log of the control plane, and report it with what stands there.",
    ),
    "GATEWAY_REJECTED": (
        "HAProxy said no, or serves something else than what was published: another version of it, or another program"
        " on its socket.",
        "Look at the log of the control plane; `modelport doctor` shows which HAProxy is used.",
    ),
}
