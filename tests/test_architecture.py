"""Structure of the code: who may import whom, what stays light, one meaning a name, plain docstrings."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

BASE = {"errors", "files", "params", "manifests", "intervals", "compiled", "machine"}
# Each package with the packages that it may import, besides itself and the base. Lower ones come first.
LAYERS = {
    "base": set(),
    "published": set(),
    "omniglot": {"published"},
    "clutter": {"published", "omniglot"},
    "training": set(),
    "segment": {"published", "omniglot", "clutter", "training"},
    "classify": {"published", "omniglot", "training"},
    "records": {"published", "omniglot", "clutter", "training", "segment", "classify"},
    "report": {"published", "records"},
}
# Of oneshot; they may import all but report.
TOP = {"library", "commands", "datasets", "exports", "play", "__main__"}
NAMES_ALONE = {"oneshot.segment.answers"}  # of answers: report writes them into its tables
HEAVY = {"torch", "numba", "pandas", "matplotlib", "scipy"}
# Modules by the beginning of their names, and what importing them must not load.
LIGHT = {
    "oneshot.errors": HEAVY,
    "oneshot.files": HEAVY,
    "oneshot.params": HEAVY,
    "oneshot.manifests": HEAVY,
    "oneshot.intervals": HEAVY,
    "oneshot.machine": HEAVY,
    "oneshot.published": HEAVY,
    "oneshot.omniglot": HEAVY,
    "oneshot.clutter": HEAVY - {"numba"},
    "oneshot.report": {"torch", "numba"},
    "oneshot.library": HEAVY - {"numba"},
    "oneshot.__main__": HEAVY - {"numba"},
    "oneshot.commands": HEAVY - {"numba"},
    "oneshot.exports.folder": HEAVY - {"numba"},
    "stages.download": HEAVY,
    "stages.prepare": HEAVY,
    "stages.render": HEAVY - {"numba"},
    "stages.train": HEAVY,
    "stages.evaluate": HEAVY,
    "stages.recheck": HEAVY,
    "stages.tables": {"torch", "numba"},
    "stages.report": {"torch", "numba"},
}
# Names that several modules define, each with its reason.
SHARED_NAMES = {
    "main": "of every stage",
    "add_commands": "of every file of commands",
    "NETS": "the registry of a task's networks",
    "plan_training": "segmentation and classification are trained through the same functions",
    "train": "the same",
    "build_net": "the same",
    "load_network": "by the name of a released run, and from any file of weights",
}
# Beginnings that are neither a verb (of a function) nor a noun (of a class).
NO_BEGINNING = re.compile(
    "What|Whether|How|Of|In|By|From|With|As|To|For|On|At|Where|All|Those|When|Which|Who|Whose|Why|If|Is|Are|Has|"
    "Into|Within|Without|Between|Under|Over|Per|Both|Such|Same"
)
NO_VERB = re.compile("The|An?|One|Each|Every|Some|Any|No|Its?|They|This|That|These|Several|Other|Another")
VERBS_LIKE_NOUNS = {"Bring", "Mention", "Position", "Question", "Segment", "String", "Swing", "Implement"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    module_name(path): path
    for folder in ("oneshot", "stages", "bench")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


@cache
def parse(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text())


def statements(body: list[ast.stmt], inner: bool) -> Iterator[ast.stmt]:
    """All statements, those under TYPE_CHECKING left out; inner: those of functions, too."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        if inner or not isinstance(node, ast.FunctionDef):
            for field in ("body", "orelse", "finalbody", "handlers"):
                children = getattr(node, field, [])
                yield from statements([child for child in children if isinstance(child, ast.stmt)], inner)
                for handler in (child for child in children if isinstance(child, ast.ExceptHandler)):
                    yield from statements(handler.body, inner)


@cache
def imports(name: str, inner: bool = True) -> frozenset[str]:
    """Modules of the project, and the first names of other packages, that a module imports."""
    found = set()
    for node in statements(parse(name).body, inner):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [each if each in MODULES else node.module or "" for each in inside]
        else:
            continue
        found |= {each if each in MODULES else each.partition(".")[0] for each in names}
    return frozenset(found - {name})


def loaded(name: str) -> set[str]:
    """All that importing a module loads, by the imports at the top level of files."""
    found, queue = set(), [name]
    while queue:
        for each in imports(queue.pop(), inner=False) - found:
            found.add(each)
            queue += [each] if each in MODULES else []
    return found


def package(name: str) -> str:
    first, _, rest = name.partition(".")
    part = rest.partition(".")[0]
    return ("base" if part in BASE | {""} else part) if first == "oneshot" else first


def forbidden(name: str) -> Iterator[str]:
    """Imports of the project that a module must not have."""
    here = package(name)
    for other in sorted(imports(name) & set(MODULES)):
        there = package(other)
        if here == "stages":
            allowed = there != "bench"
        elif here == "bench":
            allowed = True
        elif here in TOP:
            allowed = there in set(LAYERS) - {"report"} | TOP
        else:
            allowed = there in LAYERS[here] | {here, "base"} or (here == "report" and other in NAMES_ALONE)
        if not allowed:
            yield f"{name} imports {other}"


def test_every_package_is_in_the_plan() -> None:
    assert {package(name) for name in MODULES} == set(LAYERS) | TOP | {"stages", "bench"}


def test_imports_only_go_down() -> None:
    assert [line for name in MODULES for line in forbidden(name)] == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    left = {name: imports(name) & set(MODULES) for name in MODULES}
    while free := [name for name, others in left.items() if not others & set(left)]:
        for name in free:
            del left[name]
    assert left == {}


@pytest.mark.parametrize("beginning", LIGHT)
def test_importing_stays_light(beginning: str) -> None:
    names = [name for name in MODULES if name == beginning or name.startswith(f"{beginning}.")]
    assert names
    assert [f"{name} loads {each}" for name in names for each in loaded(name) & LIGHT[beginning]] == []


def test_the_stages_that_start_first_load_nothing_heavy_in_fact() -> None:
    """Numba, which finds SciPy for itself, is left out."""
    names = "oneshot, oneshot.intervals, oneshot.params, stages.download, stages.prepare"
    code = f"import sys, {names}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & HEAVY == set()


def top_level_names(name: str) -> Iterator[str]:
    for node in parse(name).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in getattr(node, "targets", [getattr(node, "target", None)]):
                yield from (each.id for each in ast.walk(target) if isinstance(each, ast.Name))


def test_a_name_means_one_thing() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for module in MODULES:
        if module.startswith(("oneshot", "stages")):
            for name in set(top_level_names(module)):
                if not name.startswith("_"):
                    places[name].append(module)
    shared = {name: found for name, found in places.items() if len(found) > 1}
    assert {name: found for name, found in shared.items() if name not in SHARED_NAMES} == {}


def docstrings() -> Iterator[tuple[str, bool, str]]:
    """Place, whether of a class, and first word, of all public classes and functions with a docstring."""
    for module in MODULES:
        if module.startswith(("oneshot", "stages")):
            for node in ast.walk(parse(module)):
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                    is_property = any("property" in ast.unparse(each) for each in node.decorator_list)
                    words = (ast.get_docstring(node) or "").split()
                    if words:
                        is_noun = isinstance(node, ast.ClassDef) or is_property
                        yield f"{module}.{node.name}", is_noun, words[0].strip(",.:;`")


def is_no_verb(word: str) -> bool:
    if word in VERBS_LIKE_NOUNS:
        return False
    plural = word.endswith("s") and not word.endswith("ss")  # or a verb of the third person
    return (
        plural
        or not word.isalpha()
        or bool(NO_VERB.fullmatch(word))
        or word.endswith(("ing", "tion", "ment", "ness"))
    )


def test_docstrings_begin_with_a_verb_or_for_a_class_with_a_noun() -> None:
    wrong = [
        f"{place}: {word}"
        for place, is_noun, word in docstrings()
        if NO_BEGINNING.fullmatch(word) or (not is_noun and is_no_verb(word))
    ]
    assert wrong == []
