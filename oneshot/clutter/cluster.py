"""Work on several machines: calls of a function in threads here, or on a cluster of Dask or Ray."""

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from oneshot.errors import ClusterError, shorten

Backend = Literal["threads", "dask", "ray"]
Given = TypeVar("Given")
ANSWER_SECONDS = 10  # Ray itself waits for minutes, and then ends the process


def call_in_parallel(
    function: Callable[..., Given],
    calls: Iterable[tuple[Any, ...]],
    n_workers: int,
    backend: Backend = "threads",
    address: str | None = None,
    shared: Any = None,
) -> Iterator[Given]:
    """Call a function with each tuple of arguments in parallel, and give the results in the same order.

    n_workers: threads, -1: one for each core; a cluster uses all of its own. address: of Dask's scheduler or
    Ray's head; None: a cluster of this machine's cores, for as long as this lasts. shared: an argument of all
    calls, which is sent to a cluster once. Workers need this package in the same version, and the same disk.

    Raises:
        ClusterError: nothing answers at the address, or the cluster is lost amid the work.
    """
    if backend == "ray":
        yield from _call_by_ray(function, calls, address, shared)
        return
    from joblib import Parallel, delayed, parallel_config

    work = (delayed(function)(*call) for call in calls)
    if backend == "threads":
        yield from Parallel(n_workers, prefer="threads", return_as="generator")(work)
        return
    from dask.distributed import CancelledError, Client, KilledWorker

    with _joining(backend, address):
        client = Client(address) if address else Client(threads_per_worker=1, dashboard_address=None)
    with client, parallel_config(backend, scatter=None if shared is None else [shared]):
        try:
            yield from Parallel(n_workers, return_as="generator")(work)
        except (KilledWorker, CancelledError) as error:
            raise _lost(backend, address, error) from error


def _call_by_ray(
    function: Callable[..., Given], calls: Iterable[tuple[Any, ...]], address: str | None, shared: Any
) -> Iterator[Given]:
    """Do the same by tasks of Ray, whose backend of joblib gives no result before all are there."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that is started here reports to nobody
    with _joining("ray", address):
        if address and (place := urlsplit(f"//{address.removeprefix('ray://')}")).port:
            socket.create_connection((place.hostname or "", place.port), ANSWER_SECONDS).close()
        ray.init(
            address or "local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    try:
        kept, task = ray.put(shared), ray.remote(function)
        for result in [
            task.remote(*(kept if argument is shared else argument for argument in call)) for call in calls
        ]:
            yield ray.get(result)
    except RayTaskError as error:  # what the function raised, wrapped into its traceback on the worker
        raise error.cause from None
    except RayError as error:
        raise _lost("ray", address, error) from error
    finally:
        ray.shutdown()


@contextmanager
def _joining(backend: Backend, address: str | None) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        where = address or "this machine"
        raise ClusterError(f"no cluster of {backend} answers at {where}: {shorten(str(error))}") from error


def _lost(backend: Backend, address: str | None, error: Exception) -> ClusterError:
    what = f"the cluster of {backend} at {address or 'this machine'} was lost"
    return ClusterError(f"{what}, run the same command again: {shorten(str(error))}")
