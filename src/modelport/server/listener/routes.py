"""What a listener answers where: health, predictions, the Open Inference Protocol, metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from modelport.core.errors import Unavailable
from modelport.server import failures, open_inference
from modelport.server.app import App, with_heads
from modelport.server.counted import counted
from modelport.server.exchange import Handler, Reply, Request, Response
from modelport.server.listener.children import health
from modelport.server.listener.children.health import Phase
from modelport.server.listener.children.model_server import ModelServer
from modelport.server.listener.composition import Handlers
from modelport.server.listener.declaration import Listener
from modelport.server.listener.listener_config import ListenerConfig
from modelport.server.listener.metrics import ListenerMetrics
from modelport.server.listener.oip_routes import oip_routes

_LOADING = "its Python steps are being loaded"


class Entrance:
    """A handler whose answers are another's as soon as that is there."""

    def __init__(self, refuse: Callable[[Exception], Response]) -> None:
        self._refuse = refuse
        self.handler: Handler | None = None

    def __call__(self, request: Request, reply: Reply) -> None:
        """Answer, or say that it is too early."""
        if self.handler is not None:
            self.handler(request, reply)
        else:
            reply.send(self._refuse(Unavailable(f"The listener is not ready: {_LOADING}")))


class Routes:
    """The routes of a listener; predictions are refused until `open`."""

    def __init__(
        self,
        listener: Listener,
        config: ListenerConfig,
        servers: Sequence[ModelServer],
        metrics: ListenerMetrics,
    ) -> None:
        self._listener = listener
        self._config = config
        self._servers = servers
        self._metrics = metrics
        self._predict = Entrance(failures.response)
        targets = [*(one.name for one in listener.stacks), *(one.name for one in listener.models)]
        self._infer = {name: Entrance(open_inference.refusal) for name in targets}

    def open(self, handlers: Handlers) -> None:
        """Let predictions be made from now on."""
        for name, handler in handlers.infer.items():
            self._infer[name].handler = handler
        self._predict.handler = handlers.predict

    @property
    def ready(self) -> bool:
        """Return whether predictions can be made."""
        return self._predict.handler is not None and all(one.standing.phase is Phase.READY for one in self._servers)

    def app(self) -> Handler:
        """Return what answers every request; the two routes of the container contract win over the others."""
        config = self._config
        found: dict[tuple[bytes, bytes], Handler] = {
            (b"GET", b"/metrics"): self._metrics,
            **oip_routes(self._listener, self._infer, lambda: self.ready),
            (b"GET", config.health_route.encode()): self._health,
            (b"POST", config.predict_route.encode()): self._predict,
        }
        counting = {key: counted(handler, self._metrics) for key, handler in found.items() if key[0] == b"POST"}
        return App(with_heads({**found, **counting}))

    def _health(self, request: Request, reply: Reply) -> None:
        loading = "" if self._predict.handler is not None else _LOADING
        reply.send(health.report(((one.server.name, one.standing) for one in self._servers), loading))
