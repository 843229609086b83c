# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One way to Azure: an azure-mgmt-core pipeline that speaks ARM JSON and counts what it sends.

Credentials, retries that honour Retry-After, and polling of long-running operations are the libraries'. Answers are
plain dictionaries. Every refusal is an AzureError with Azure's code, message and request id.
"""

from __future__ import annotations

import os
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.answers import (
    Json,
    document,
    failures,
    found_or_none,
    refusal,
    tail,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.credentials import Login, login
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError

if t.TYPE_CHECKING:
    from azure.core.pipeline.transport import HttpTransport
    from azure.core.polling import LROPoller

Result = t.TypeVar("Result")
Client = t.TypeVar("Client")

USER_AGENT = "azure_hpc.cluster/0.1"
# Seconds. A Retry-After beyond this is not waited for: the next pass comes sooner than that.
PATIENCE = 60.0
# How often to ask for the state of an operation when Azure does not say (its own libraries: 30).
POLL_INTERVAL = 5.0
# Requests at once. Azure's throttling is per time window; this only bounds threads and connections.
CONCURRENCY = 8
_ERROR_STATUS = 400
_ACCEPTED = 202


class Operation:
    """A long-running operation that was accepted. Polling goes on in the background until ``result`` is asked for."""

    def __init__(self, poller: LROPoller[t.Any], doing: str) -> None:
        self._poller = poller
        self._doing = doing

    def result(self, timeout: float | None = None) -> Json:
        """The final resource ({} if Azure returns none); raises AzureError if it failed or ``timeout`` seconds pass."""
        if not self.wait(timeout):
            raise AzureError(f"not finished after {timeout:g} seconds", code="ClientTimeout", doing=self._doing)
        with failures(self._doing):
            found = self._poller.result()
        return found if isinstance(found, dict) else {}

    def wait(self, timeout: float | None = None) -> bool:
        """Whether the operation ended within ``timeout`` seconds; raises AzureError if it ended badly."""
        with failures(self._doing):
            self._poller.wait(timeout)
        return bool(self._poller.done())


class Session:
    """A subscription, seen through one pipeline. Safe to use from several threads. Close it, or use ``with``."""

    def __init__(
        self,
        account: Login,
        transport: HttpTransport | None = None,
        verify: bool = True,
        patience: float = PATIENCE,
    ) -> None:
        self.subscription_id = account.subscription_id
        self._endpoint, self._scopes = account.endpoints
        self._patience = patience
        self._counted = 0
        self._lock = threading.Lock()
        self._credential = account.credential()
        self._pipeline = self._chain(transport, verify, patience)
        self._client = self._open()

    def _chain(self, transport: t.Any, verify: bool, patience: float) -> t.Any:
        from azure.core.pipeline import Pipeline, policies
        from azure.core.pipeline.transport import RequestsTransport
        from azure.mgmt.core.policies import ARMAutoResourceProviderRegistrationPolicy, ARMChallengeAuthenticationPolicy

        self._transport = transport or RequestsTransport(
            connection_verify=verify, connection_timeout=20, read_timeout=120
        )
        chain = [
            policies.RequestIdPolicy(),
            policies.HeadersPolicy({"Accept": "application/json"}),
            policies.UserAgentPolicy(base_user_agent=USER_AGENT),
            ARMAutoResourceProviderRegistrationPolicy(),
            policies.RedirectPolicy(),
            _retry_policy(patience),
            ARMChallengeAuthenticationPolicy(self._credential, *self._scopes),
            policies.CustomHookPolicy(raw_request_hook=_whole, raw_response_hook=self._count),
            policies.SensitiveHeaderCleanupPolicy(),
        ]
        return Pipeline(self._transport, chain)

    def _open(self) -> t.Any:
        from azure.mgmt.core import ARMPipelineClient

        return ARMPipelineClient(base_url=self._endpoint, policies=[], pipeline=self._pipeline)

    def open(self, client: t.Callable[..., Client], subscription_id: str) -> Client:
        """A typed management client (its class is ``client``) on this session's pipeline."""
        return client(
            self._credential,
            subscription_id,
            base_url=self._endpoint,
            credential_scopes=list(self._scopes),
            polling_interval=POLL_INTERVAL,
            policies=[],
            pipeline=self._pipeline,
        )

    def _count(self, response: t.Any) -> None:
        with self._lock:
            self._counted += 1

    @property
    def requests(self) -> int:
        """How many requests ARM has answered so far: retries and polls included, sign-in not."""
        return self._counted

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *unused: object) -> None:
        self._client.close()

    def sleep(self, seconds: float) -> None:
        """Wait, as the libraries below do."""
        self._transport.sleep(seconds)

    def group_path(self, resource_group: str) -> str:
        """The resource id of a resource group."""
        return f"/subscriptions/{self.subscription_id}/resourceGroups/{resource_group}"

    def resource_path(self, resource_group: str, kind: str, *names: str) -> str:
        """The resource id of ``names`` of type ``kind``, such as ``Microsoft.Compute/virtualMachineScaleSets``."""
        namespace, *types = kind.split("/")
        pairs = "".join(f"/{one}/{name}" for one, name in zip(types, names))  # noqa: B905 - Python 3.9 has no strict
        missing = "".join(f"/{one}" for one in types[len(names) :])
        return f"{self.group_path(resource_group)}/providers/{namespace}{pairs}{missing}"

    def get(self, path: str, version: str, doing: str = "", **query: str) -> Json:
        """One resource; raises AzureError (kind ``not_found`` if there is none)."""
        return document(self._send("GET", path, version, doing=doing or f"read {tail(path)}", query=query), doing)

    def find(self, path: str, version: str, doing: str = "", **query: str) -> Json | None:
        """One resource, or None if it does not exist."""
        return found_or_none(lambda: self.get(path, version, doing, **query))

    def listing(self, path: str, version: str, doing: str = "", **query: str) -> list[Json]:
        """All pages of a list; raises AzureError. ARM's ``nextLink`` is followed as it is."""
        doing = doing or f"list {tail(path)}"
        items: list[Json] = []
        page = document(self._send("GET", path, version, doing=doing, query=query), doing)
        items.extend(page.get("value") or ())
        seen: set[str] = set()
        while page.get("nextLink"):
            link = str(page["nextLink"])
            if link in seen or not link.lower().startswith(self._endpoint.lower()):
                # A token must not follow a link out of ARM, and a repeated link would never end.
                raise AzureError(f"unusable link to the next page: {link}", code="BadNextLink", doing=doing)
            seen.add(link)
            page = document(self._send("GET", link, "", doing=doing), doing)
            items.extend(page.get("value") or ())
        return items

    def post(self, path: str, version: str, body: Json | None = None, doing: str = "", **query: str) -> Json:
        """A synchronous action, or the start of a long one that nobody waits for."""
        return document(self._send("POST", path, version, body, doing, query), doing)

    def send(self, method: str, path: str, version: str, body: Json | None = None, doing: str = "") -> Json:
        """Send a write without waiting for what it starts; the answer's body."""
        return document(self._send(method, path, version, body, doing), doing)

    def begin(
        self, method: str, path: str, version: str, body: Json | None = None, doing: str = "", **query: str
    ) -> Operation:
        """Start a write and poll it in the background; raises AzureError if it is refused at once."""
        from azure.core.polling import LROPoller
        from azure.mgmt.core.polling.arm_polling import ARMPolling

        doing = doing or f"{method.lower()} {tail(path)}"
        accepted = self._send(method, path, version, body, doing, query)
        with failures(doing):
            polling = ARMPolling(POLL_INTERVAL, _polling_ways(accepted))
            poller = LROPoller(self._client, accepted, lambda done: document(done, doing), polling)
        return Operation(poller, doing)

    def public(self, url: str, query: t.Mapping[str, str]) -> list[Json]:
        """All items of the public price list, asked without our token; raises AzureError."""
        from azure.core import PipelineClient
        from azure.core.pipeline import policies
        from azure.core.rest import HttpRequest

        chain = [policies.UserAgentPolicy(base_user_agent=USER_AGENT), _retry_policy(self._patience)]
        client: t.Any = PipelineClient(url, policies=chain, transport=self._transport)
        doing = f"read {url}"
        items: list[Json] = []
        seen: set[str] = set()
        request = HttpRequest("GET", url, params=dict(query))
        while True:
            with failures(doing):
                answer = client.send_request(request, _return_pipeline_response=True)
            if answer.http_response.status_code >= _ERROR_STATUS:
                raise refusal(answer.http_response, doing)
            page = document(answer, doing)
            items.extend(page.get("Items") or ())
            link = str(page.get("NextPageLink") or "")
            if not link or link in seen or not link.startswith(url):
                return items
            seen.add(link)
            request = HttpRequest("GET", link)

    def _send(
        self,
        method: str,
        path: str,
        version: str,
        body: Json | None = None,
        doing: str = "",
        query: t.Mapping[str, str] | None = None,
    ) -> t.Any:
        from azure.core.rest import HttpRequest

        params = {**({"api-version": version} if version else {}), **_query(query or {})}
        url = path if path.startswith("https://") else self._endpoint.rstrip("/") + _quoted(path)
        request = HttpRequest(method, url, params=params, **({} if body is None else {"json": body}))
        with failures(doing):
            # The poller wants the pipeline's response, which send_request hides unless asked so.
            answer = self._client.send_request(request, _return_pipeline_response=True)
        response = answer.http_response
        if response.status_code >= _ERROR_STATUS:
            raise refusal(response, doing)
        return answer


class Documents:
    """Resources by id, of one api-version: the few verbs that building needs, over the session's own pipeline."""

    def __init__(self, session: Session, version: str) -> None:
        self._session = session
        self._version = version

    def find(self, resource_id: str) -> Json | None:
        """One resource, or None if it does not exist."""
        return self._session.find(resource_id, self._version)

    def begin(self, method: str, resource_id: str, body: Json | None, doing: str) -> Operation:
        """Start a write and poll it in the background; raises AzureError if it is refused at once."""
        return self._session.begin(method, resource_id, self._version, body, doing)

    def sleep(self, seconds: float) -> None:
        """Wait, as the libraries below do."""
        self._session.sleep(seconds)


def connect(options: t.Mapping[str, t.Any], environ: t.Mapping[str, str] | None = None) -> Session:
    """A session for a module's or a plugin's options (see credentials.py); raises AzureError."""
    environ = os.environ if environ is None else environ
    mode = options.get("cert_validation_mode") or environ.get("AZURE_CERT_VALIDATION_MODE") or "validate"
    return Session(login(options, environ), verify=mode != "ignore")


def together(tasks: t.Iterable[t.Callable[[], Result]]) -> list[Result]:  # noqa: UP047 - Python 3.12 only
    """Run tasks at the same time and return their results in order; raises the first error once all have ended."""
    waiting = list(tasks)
    if len(waiting) < 2:
        return [task() for task in waiting]
    with ThreadPoolExecutor(max_workers=min(CONCURRENCY, len(waiting))) as pool:
        futures = [pool.submit(task) for task in waiting]
    return [future.result() for future in futures]


def finish(operations: t.Iterable[Operation], timeout: float | None = None) -> list[Json]:
    """Wait for operations that were started together; raises the first error once all have ended."""
    results: list[Json] = []
    failure: AzureError | None = None
    for operation in operations:
        try:
            results.append(operation.result(timeout))
        except AzureError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return results


def _whole(request: t.Any) -> None:
    # Typed clients ask for the answers to writes as streams; the policies before them could not read those.
    request.context.options.pop("stream", None)


def _polling_ways(accepted: t.Any) -> list[t.Any] | None:
    """How the end of an operation may be found out; None for all the ways that ARM has.

    Some synchronous answers (201 of an identity) carry a Location that is no operation, and not even a whole address.
    """
    from azure.core.polling.base_polling import StatusCheckPolling
    from azure.mgmt.core.polling.arm_polling import AzureAsyncOperationPolling, BodyContentPolling

    if accepted.http_response.status_code == _ACCEPTED:
        return None
    return [AzureAsyncOperationPolling(), BodyContentPolling(), StatusCheckPolling()]


def _retry_policy(patience: float) -> t.Any:
    from azure.core.pipeline.policies import RetryPolicy

    class PatientRetryPolicy(RetryPolicy):  # type: ignore[misc,unused-ignore]
        """azure-core's retries, but a Retry-After longer than our patience is an answer, not a reason to sleep."""

        def is_retry(self, settings: t.Any, response: t.Any) -> bool:
            wait = self.get_retry_after(response)
            return bool((wait is None or wait <= patience) and super().is_retry(settings, response))

    return PatientRetryPolicy(retry_total=4, retry_status=4, retry_backoff_max=20)


def _query(query: t.Mapping[str, str]) -> dict[str, str]:
    # Python names cannot begin with a dollar sign, ARM's do.
    dollar = ("expand", "filter", "select", "top")
    return {f"${name}" if name in dollar else name: value for name, value in query.items()}


def _quoted(path: str) -> str:
    from urllib.parse import quote

    return quote(path, safe="/()-_.~$:@?&=")
