"""Work on several machines: calls of a function in threads here, or on a cluster of Dask or Ray."""

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from oneshot.errors import ClusterError, OneshotError, shorten

Backend = Literal["threads", "dask", "ray"]
Given = TypeVar("Given")
ANSWER_SECONDS = 10  # Ray itself waits for minutes, and then ends the process
# Dask has its workers give freed memory back to the system at once, by a setting of the C library. To get it
# again takes a quarter more processor time; so the setting is left out.
KEEPING_MEMORY = {"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None}


def call_in_parallel(
    function: Callable[..., Given],
    calls: Iterable[tuple[Any, ...]],
    n_workers: int,
    backend: Backend = "threads",
    address: str | None = None,
    shared: Any = None,
) -> Iterator[Given]:
    """Call a function with each tuple of arguments in parallel, and give the results in the same order.

    An error of this project comes in its turn, too, after the results of all earlier calls.

    n_workers: threads, -1: one for each core; a cluster uses all of its own. address: of Dask's scheduler or
    Ray's head; None: a cluster of this machine's cores, for as long as this lasts. shared: an argument of all
    calls, which is sent to a cluster once. Workers need this package in the same version, and the same disk.

    Raises:
        ClusterError: nothing answers at the address, or the cluster is lost amid the work.
    """
    if backend == "dask":
        yield from _call_by_dask(function, calls, address, shared)
    elif backend == "ray":
        yield from _call_by_ray(function, calls, address, shared)
    else:
        from joblib import Parallel, delayed

        work = (delayed(_catch)(function, *call) for call in calls)
        with closing(Parallel(n_workers, prefer="threads", return_as="generator")(work)) as results:
            for result in results:
                if isinstance(result, OneshotError):
                    raise result
                yield result


def _catch(function: Callable[..., Given], *call: Any) -> Given | OneshotError:
    """Give an error of this project as a result, which waits its turn: joblib raises one at once."""
    try:
        return function(*call)
    except OneshotError as error:
        return error


def _call_by_dask(
    function: Callable[..., Given], calls: Iterable[tuple[Any, ...]], address: str | None, shared: Any
) -> Iterator[Given]:
    """Do the same by tasks of Dask: joblib's backend works in this process where a cluster has one core."""
    import dask
    from dask.distributed import CancelledError, Client, KilledWorker

    with _joining("dask", address), dask.config.set(KEEPING_MEMORY):
        client = Client(address) if address else Client(threads_per_worker=1, dashboard_address=None)
    with client:
        try:
            client.submit(int, pure=False).result(ANSWER_SECONDS)  # an adaptive cluster starts workers for it
        except TimeoutError as error:
            raise ClusterError(f"no worker of {_name('dask', address)} answers.") from error
        try:
            (kept,) = client.scatter([shared], broadcast=True)
            filled = [_replace(call, shared, kept) for call in calls]
            for task in [client.submit(function, *call, pure=False) for call in filled]:
                yield task.result()
        except (KilledWorker, CancelledError) as error:
            raise _lost("dask", address, error) from error


def _call_by_ray(
    function: Callable[..., Given], calls: Iterable[tuple[Any, ...]], address: str | None, shared: Any
) -> Iterator[Given]:
    """Do the same by tasks of Ray: joblib's backend gives no result before all are there."""
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
        for result in [task.remote(*_replace(call, shared, kept)) for call in calls]:
            yield ray.get(result)
    except RayTaskError as error:  # what the function raised, wrapped into its traceback on the worker
        raise error.cause from None
    except RayError as error:
        raise _lost("ray", address, error) from error
    finally:
        ray.shutdown()


def _replace(call: tuple[Any, ...], shared: Any, kept: Any) -> tuple[Any, ...]:
    """Put what a cluster keeps in the place of the argument that all calls share."""
    return tuple(kept if argument is shared else argument for argument in call)


@contextmanager
def _joining(backend: Backend, address: str | None) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise ClusterError(f"{_name(backend, address)} does not answer: {shorten(str(error))}") from error


def _lost(backend: Backend, address: str | None, error: Exception) -> ClusterError:
    what = f"{_name(backend, address)} was lost, run the same command again"
    return ClusterError(f"{what}: {shorten(str(error))}")


def _name(backend: Backend, address: str | None) -> str:
    return f"the cluster of {backend} at {address or 'this machine'}"
