"""Rendering on several machines: the work of joblib sent to a cluster of Dask or Ray."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from oneshot.errors import ClusterError, shorten

Backend = Literal["threads", "dask", "ray"]


@contextmanager
def working_on(backend: Backend, address: str | None, shared: Any) -> Iterator[None]:
    """Let joblib work in threads of this process, or on the workers of a cluster.

    address: of Dask's scheduler or Ray's head; None: a cluster of this machine's cores, for as long as this
    lasts. shared: an argument of all calls, which is sent to every worker of Dask once. Workers need this
    package in the same version, and write to the same disk.

    Raises:
        ClusterError: nothing answers at the address.
    """
    if backend == "threads":
        yield
        return
    try:
        options = _join_dask(address, shared) if backend == "dask" else _join_ray(address)
    except (OSError, ValueError, RuntimeError) as error:
        where = address or "this machine"
        raise ClusterError(f"no cluster of {backend} answers at {where}: {shorten(str(error))}") from error
    from joblib import parallel_config

    leave = options.pop("leave")
    try:
        with parallel_config(backend, **options):
            yield
    finally:
        leave()


def _join_dask(address: str | None, shared: Any) -> dict[str, Any]:
    from dask.distributed import Client

    client = Client(address) if address else Client(threads_per_worker=1, dashboard_address=None)
    return {"scatter": [shared], "leave": client.close}


def _join_ray(address: str | None) -> dict[str, Any]:
    import ray
    from ray.util.joblib import register_ray

    ray.init(address, include_dashboard=False, log_to_driver=False)
    register_ray()
    return {"leave": ray.shutdown}
