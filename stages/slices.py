"""Files too large to travel in one piece, as slices beside one another: NAME.1-of-2, NAME.2-of-2."""

from pathlib import Path

from oneshot.records.run import RecordError

SLICE_BYTES = 15 * 2**20


def remove_slices(path: Path) -> None:
    for slice_path in find_slices(path):
        slice_path.unlink()


def slice_file(path: Path, most_bytes: int = SLICE_BYTES) -> None:
    """Put slices in place of a file that is larger; older slices of it go in any case."""
    remove_slices(path)
    content = path.read_bytes()
    n = -(-len(content) // most_bytes)
    if n <= 1:
        return
    for k in range(n):
        part = content[k * most_bytes : (k + 1) * most_bytes]
        path.with_name(f"{path.name}.{k + 1}-of-{n}").write_bytes(part)
    path.unlink()


def read_whole(path: Path) -> bytes:
    """A file's content, joined if it lies in slices.

    Raises:
        RecordError: there is neither the file nor all of its slices, or there is more than that.
    """
    found = find_slices(path)
    if path.is_file():
        if found:
            raise RecordError(f"{path} lies there whole and in slices: keep only what was recorded last.")
        return path.read_bytes()
    if not found:
        raise RecordError(f"{path} is missing: fetch it, or record the run again.")
    n = found[0].name.rpartition("-of-")[2]
    expected = [path.with_name(f"{path.name}.{k + 1}-of-{n}") for k in range(int(n))]
    if sorted(expected) != found:
        missing = sorted(slice_path.name for slice_path in set(expected) - set(found))
        raise RecordError(
            f"the slices of {path} are not {n} of one file: {', '.join(missing) or 'others'} "
            f"{'is missing' if missing else 'lie beside them'}."
        )
    return b"".join(slice_path.read_bytes() for slice_path in expected)


def find_slices(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.*-of-*"))
