"""Serves the resources of one provider package to the Pulumi engine over gRPC.

Resources are the modules of `pairlab/plugin/<package>/` with a class `Served`; there is no list of them.
Source: Pulumi's provider protocol, `proto/pulumi/provider.proto`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import signal
import threading
import urllib.parse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Any, TypeVar, cast

import grpc
from google.protobuf import empty_pb2
from google.rpc import status_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from pairlab.errors import LabError
from pairlab.plugin.checks import all_secrets, changed_paths, check_values, refreshed_inputs, tell
from pairlab.plugin.launchers import VERSIONS
from pairlab.plugin.launchers import write_launchers as write_launchers
from pairlab.plugin.resource import (
    UNFINISHED,
    UNKNOWN,
    Context,
    Failure,
    PartialError,
    Property,
    Resource,
    Values,
)
from pairlab.plugin.wire import Path, from_wire, secret_paths, to_wire

THREADS = 32
PARENT_CHECK_S = 1.0
GRACE_S = 4.0
MAX_MESSAGE_BYTES = 400 * 1024 * 1024
ENGINE_OWN = ("version", "pluginDownloadURL")
"""Provider settings that are the engine's business, not the plugin's."""

Handler = TypeVar("Handler", bound=Callable[..., Any])
KINDS = provider_pb2.PropertyDiff.Kind


def find_resources(package: str) -> dict[str, type[Resource[Any]]]:
    """Type token -> class, for every module of a package that serves one."""
    folder = importlib.import_module(f"pairlab.plugin.{package}")
    served: dict[str, type[Resource[Any]]] = {}
    for module in pkgutil.iter_modules(folder.__path__):
        if module.name.startswith("_") or module.name == "client":
            continue
        resource = importlib.import_module(f"{folder.__name__}.{module.name}").Served
        served[resource.token] = resource
    return served


def _clean_errors(handler: Handler) -> Handler:
    """Tell the engine the cause and the next step, never a traceback."""

    @wraps(handler)
    def run(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return handler(self, request, context)
        except PartialError as error:
            context.abort_with_status(self.init_failed(error, request))
        except LabError as error:
            context.abort(grpc.StatusCode.UNKNOWN, f"{error.message} ({error.hint})")
        except Exception as error:
            told = f"{handler.__name__} failed within the embedded plugin: {type(error).__name__}: {error}"
            context.abort(grpc.StatusCode.UNKNOWN, f"{told} (this is a fault of pairlab: please report it)")

    return cast(Handler, run)


class _Status:
    """What `abort_with_status` takes: a code, words, and the status with its details."""

    def __init__(self, status: status_pb2.Status) -> None:
        self.code = grpc.StatusCode.UNKNOWN
        self.details = status.message
        self.trailing_metadata = (("grpc-status-details-bin", status.SerializeToString()),)


class Plugin(provider_pb2_grpc.ResourceProviderServicer):
    """One provider package. Requests run in threads, beside each other.

    Args:
        package: `docker` or `libvirt`.
        connect: Makes a client from the provider's settings; called when a daemon is first needed.
        settings: The provider's settings that are served.
        resources: Type token -> class.
    """

    def __init__(
        self,
        package: str,
        connect: Callable[[Values], Any],
        settings: dict[str, Property],
        resources: dict[str, type[Resource[Any]]],
    ) -> None:
        self._package = package
        self._connect = connect
        self._settings = settings
        self._resources = resources
        self._config: Values = {}
        self._client: Any = None
        self._connecting = threading.Lock()
        self._cancelled = threading.Event()

    # The plugin itself

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Version of the package that is served."""
        return plugin_pb2.PluginInfo(version=VERSIONS[self._package])

    def GetSchema(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The names of what is served; programs use the official SDK, which has the whole schema."""
        resources: dict[str, Any] = {token: {} for token in self._resources}
        schema = {"name": self._package, "version": VERSIONS[self._package], "resources": resources}
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema))

    @_clean_errors
    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Check the provider's settings."""
        values = self._given_settings(request.news)
        failures = check_values(values, self._settings, self._package)
        return _check_response(from_wire(request.news), failures, secret_paths(request.news))

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Another address means another daemon, whose resources are others: replace the provider."""
        old = self._given_settings(request.old_inputs or request.olds)
        new = self._given_settings(request.news)
        changed = [name for name in self._settings if old.get(name) != new.get(name)]
        replaces = [
            name
            for name in changed
            if self._settings[name].replace and _daemon(old.get(name)) != _daemon(new.get(name))
        ]
        some, none = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some if changed else none,
            diffs=changed,
            replaces=replaces,
            # Two addresses may lead to one daemon, where the names of what is there are taken.
            deleteBeforeReplace=bool(replaces),
        )

    @_clean_errors
    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Remember the settings; no daemon is asked before one is needed."""
        self._config = self._given_settings(request.args)
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The engine was interrupted: end waits."""
        self._cancelled.set()
        return empty_pb2.Empty()

    def _given_settings(self, struct: Any) -> Values:
        """The provider's settings as plain values; all but strings come as JSON texts."""
        values = {name: value for name, value in from_wire(struct).items() if name not in ENGINE_OWN}
        for name, value in values.items():
            rule = self._settings.get(name)
            if isinstance(value, str) and rule is not None and rule.type is not str:
                with contextlib.suppress(ValueError):
                    values[name] = json.loads(value)
        return values

    # Its resources

    @_clean_errors
    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Check a resource's inputs and fill in defaults."""
        served, old, new = self._served(request.urn), from_wire(request.olds), from_wire(request.news)
        if "name" in served.properties and new.get("name") is None:
            new["name"] = old.get("name") or _auto_name(request.urn, request.randomSeed)
        failures = check_values(new, served.properties, self._package)
        return _check_response(new, failures or served.validate(new), all_secrets(served, request.news))

    @_clean_errors
    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        """What differs, and whether it replaces the resource."""
        served = self._served(request.urn)
        state, new = from_wire(request.olds), from_wire(request.news)
        # An engine that sends no old inputs: the state holds them.
        old_inputs = from_wire(request.old_inputs) or {
            k: v for k, v in state.items() if k in served.properties
        }
        changes = {
            path: change
            for path, change in changed_paths(served, state, old_inputs, new).items()
            if path not in request.ignoreChanges
        }
        detailed = {
            path: provider_pb2.PropertyDiff(
                kind=KINDS.Value(f"{kind.upper()}_REPLACE" if replaces else kind.upper())
            )
            for path, (kind, replaces) in changes.items()
        }
        some, none = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some if changes else none,
            replaces=[path for path, (_, replaces) in changes.items() if replaces],
            diffs=list(changes),
            stables=list(served.stable),
            deleteBeforeReplace=served.deletes_first(old_inputs, new),
            detailedDiff=detailed,
            hasDetailedDiff=True,
        )

    @_clean_errors
    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Make a resource; in a preview, say what would be known."""
        served, inputs = self._served(request.urn), from_wire(request.properties)
        if request.preview:
            return provider_pb2.CreateResponse(
                id="", properties=_expected(served, inputs, request.properties)
            )
        resource_id, outputs = served(self._connected()).create(inputs, self._context(served, request))
        properties = _outputs(served, outputs, request.properties)
        return provider_pb2.CreateResponse(id=resource_id, properties=properties)

    @_clean_errors
    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Look at the real thing: for a refresh, or for an import, which knows only the id."""
        served = self._served(request.urn)
        state, old_inputs = from_wire(request.properties), from_wire(request.inputs)
        if state.get(UNFINISHED):
            # However much of it is there, it must be replaced.
            return provider_pb2.ReadResponse(
                id=request.id, properties=request.properties, inputs=request.inputs
            )
        outputs = served(self._connected()).read(request.id, state, self._context(served, request))
        if outputs is None:
            return provider_pb2.ReadResponse(id="")
        inputs = refreshed_inputs(served, old_inputs, outputs) if old_inputs else served.inputs_of(outputs)
        return provider_pb2.ReadResponse(
            id=request.id,
            properties=_outputs(served, outputs, request.properties, request.inputs),
            inputs=_outputs(served, inputs, request.inputs),
        )

    @_clean_errors
    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Change a resource in place."""
        served = self._served(request.urn)
        state, inputs = from_wire(request.olds), from_wire(request.news)
        if request.preview:
            stable = {name: state[name] for name in served.stable if name in state}
            return provider_pb2.UpdateResponse(properties=_expected(served, inputs, request.news, stable))
        resource = served(self._connected())
        outputs = resource.update(request.id, state, inputs, self._context(served, request))
        return provider_pb2.UpdateResponse(properties=_outputs(served, outputs, request.news))

    @_clean_errors
    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Remove a resource."""
        served, state = self._served(request.urn), from_wire(request.properties)
        served(self._connected()).delete(request.id, state, self._context(served, request))
        return empty_pb2.Empty()

    def init_failed(self, error: PartialError, request: Any) -> Any:
        """The status that makes the engine record what was made or changed."""
        told = f"{error.message} ({error.hint})"
        inputs = request.news if isinstance(request, provider_pb2.UpdateRequest) else request.properties
        properties = _outputs(self._served(request.urn), error.outputs, inputs)
        detail = provider_pb2.ErrorResourceInitFailed(
            id=error.resource_id, properties=properties, inputs=inputs, reasons=[told]
        )
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=told)
        status.details.add().Pack(detail)
        return _Status(status)

    def _served(self, urn: str) -> type[Resource[Any]]:
        token = urn.split("::")[2].rsplit("$", 1)[-1]
        if token not in self._resources:
            raise LabError(
                f"the embedded {self._package} plugin does not serve {token}",
                hint=f"it serves {', '.join(sorted(self._resources))}; or set plugins to official",
            )
        return self._resources[token]

    def _connected(self) -> Any:
        with self._connecting:
            if self._client is None:
                self._client = self._connect(self._config)
            return self._client

    def _context(self, served: type[Resource[Any]], request: Any) -> Context:
        return Context(request.timeout or served.create_timeout_s, self._cancelled)


def _daemon(address: Any) -> tuple[str, list[str]]:
    """What of an address says which daemon it is; the rest, such as `keyfile`, only says how to get there."""
    place, _, query = str(address).partition("?")
    return place, urllib.parse.parse_qs(query).get("socket", [])


def _check_response(values: Values, failures: list[Failure], secret: set[Path]) -> Any:
    told = [tell(failure, secret) for failure in failures]
    return provider_pb2.CheckResponse(
        inputs=to_wire(values, secret),
        failures=[provider_pb2.CheckFailure(property=name, reason=reason) for name, reason in told],
    )


def _auto_name(urn: str, seed: bytes) -> str:
    return f"{urn.rsplit('::', 1)[-1]}-{seed.hex()[:7]}"


def _outputs(served: type[Resource[Any]], values: Values, *given: Any) -> Any:
    """Values for the engine, marked where they are secret."""
    return to_wire(values, all_secrets(served, *given))


def _expected(served: type[Resource[Any]], inputs: Values, given: Any, stable: Values | None = None) -> Any:
    """Outputs as far as a preview knows them."""
    computed = [name for name, rule in served.properties.items() if rule.computed and name not in inputs]
    unknown = dict.fromkeys([*served.outputs, *computed], UNKNOWN)
    return _outputs(served, unknown | (stable or {}) | inputs, given)


def serve(package: str) -> None:
    """Serve until the engine ends; prints the port, as the protocol wants."""
    client = importlib.import_module(f"pairlab.plugin.{package}.client")
    plugin = Plugin(package, client.connect, dict(client.CONFIG), find_resources(package))
    options = [(f"grpc.max_{way}_message_length", MAX_MESSAGE_BYTES) for way in ("receive", "send")]
    server = grpc.server(ThreadPoolExecutor(max_workers=THREADS), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(plugin, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    # The engine starts plugins in a process group of their own and ends them with SIGINT; what still
    # runs then may finish. A terminal's Ctrl-C does not come here: it reaches `Cancel` by the engine.
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    parent = os.getppid()
    while not ended.wait(PARENT_CHECK_S) and os.getppid() == parent:
        pass
    server.stop(grace=GRACE_S).wait()
