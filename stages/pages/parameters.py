"""docs/parameters.md: every key of params.yaml with its type, its range, its value and its meaning."""

from collections.abc import Iterator
from typing import Any, get_args

import yaml

from oneshot.params import Params, Section
from oneshot.params.classification import SETTINGS
from oneshot.params.section import ScaleName
from oneshot.report.tables import lay_table

SCALES = get_args(ScaleName)
ANY, EACH = "*", "[]"
MOST_SHOWN = 4  # values of a key
MOST_LISTED = 7  # entries of a list
TYPES = {"integer": "integer", "number": "number", "string": "text", "boolean": "true or false"}
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
PARAMETERS_INTRODUCTION = f"""\
# Parameters

Written by `python -m stages.pages` from `oneshot/params` and `params.yaml`; do not edit.

`dvc exp run -S KEY=VALUE` changes one value for one experiment. A key that is unknown, or a value of another
type or out of its range, ends every command in one sentence. In keys `{ANY}` stands for any name, as of a
network, `{EACH}` for each entry of a list, `SCALE` for a scale ({", ".join(SCALES)}): only keys with
`SCALE` have another value at another scale. –: left out, so that the default of the code is in force."""
SETTINGS_WORDS = "Under `classification.networks.*.settings`, by the network's `net`."


def write_parameters(values: Any) -> str:
    """Write the page; values: what params.yaml holds."""
    found: dict[str, list[list[str]]] = {}
    schema = Params.model_json_schema(by_alias=True)
    keys: dict[tuple[str, ...], Any] = {}
    for path, node in walk(schema, schema, ()):
        keys[path] = (
            node | {"enum": [*keys.get(path, {}).get("enum", []), *node["enum"]]} if "enum" in node else node
        )
    for path, node in keys.items():
        line = [f"`{join_path(path)}`", describe_type(node), show_by_scale(values, path), node["description"]]
        found.setdefault(join_path(path[:-1][:2]) or "Top level", []).append(line)
    paragraphs = [PARAMETERS_INTRODUCTION]
    titles = ("key", "type and range", "in params.yaml", "meaning")
    for section, lines in found.items():
        paragraphs += [f"## {section}", lay_left(titles, lines)]
    paragraphs += ["## Settings of networks for classification", SETTINGS_WORDS]
    paragraphs += [lay_left(("net", "setting", "type and range", "meaning"), list(describe_settings()))]
    paragraphs += ["## Networks, and the scales that train them", lay_networks(values)]
    return "\n\n".join(paragraphs) + "\n"


def join_path(path: tuple[str, ...]) -> str:
    return ".".join(path).replace(f".{EACH}", EACH)


def lay_left(titles: tuple[str, ...], lines: list[list[str]]) -> str:
    """Write a table of words, which begin at the left."""
    return lay_table(titles, lines).replace("---:|", "---|")


def walk(schema: Any, node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Go through the keys of a JSON schema, with the schema of each; those of every scale once, as SCALE."""
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]] | {k: node[k] for k in node if k != "$ref"}
    parts = node.get("anyOf", []) + node.get("oneOf", [])
    below = [part for part in parts if "$ref" in part]
    if below:
        for part in below:
            yield from walk(schema, part, path)
    elif "properties" in node:
        for name, part in node["properties"].items():
            yield from walk(schema, part, (*path, "SCALE" if name in SCALES else name))
    elif path == ("scales",):
        yield from walk(schema, node["additionalProperties"], (*path, "SCALE"))
    elif isinstance(node.get("additionalProperties"), dict):
        yield from walk(schema, node["additionalProperties"], (*path, ANY))
    elif "patternProperties" in node:
        for part in node["patternProperties"].values():
            yield from walk(schema, part, (*path, ANY))
    elif "$ref" in node.get("items", {}):
        yield from walk(schema, node["items"], (*path, EACH))
    else:
        yield path, node


def describe_type(node: Any) -> str:
    """Write a type with its range, such as "integer ≥ 1 and ≤ 10,000, or null"."""
    if "anyOf" in node:
        return ", or ".join(describe_type(part) for part in node["anyOf"])
    if "enum" in node:
        return " or ".join(f"`{value}`" for value in node["enum"])
    if node.get("type") == "null":
        return "null"
    if node.get("type") == "array":
        items = node.get("items") or node["prefixItems"][0]
        return f"list of {describe_type(items)}"
    if node.get("type") == "object":
        return "section"
    bounds = " and ".join(f"{sign} {node[name]:,}" for name, sign in BOUNDS.items() if name in node)
    return f"{TYPES[node['type']]} {bounds}".strip()


def show_by_scale(values: Any, path: tuple[str, ...]) -> str:
    """Write what params.yaml holds under a key: one value, those of all names, or those of each scale."""
    if "SCALE" not in path:
        return show_values(list(find_values(values, path)))
    shown = {
        scale: show_values(list(find_values(values, tuple(scale if k == "SCALE" else k for k in path))))
        for scale in SCALES
    }
    if len(set(shown.values())) == 1:
        return shown[SCALES[0]]
    return "<br>".join(f"{scale}: {text}" for scale, text in shown.items())


def find_values(values: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """Find all values under a key; sections that are null or left out have none."""
    if not path:
        yield values
    elif isinstance(values, dict):
        for name in [*values] if path[0] == ANY else [path[0]]:
            if name in values:
                yield from find_values(values[name], path[1:])
    elif isinstance(values, list) and path[0] == EACH:
        for value in values:
            yield from find_values(value, path[1:])


def show_values(found: list[Any]) -> str:
    """Write some values, each once; of many numbers the least and the greatest."""
    kinds = {str(value): value for value in found}
    if len(kinds) <= MOST_SHOWN:
        return ", ".join(f"`{format_value(value)}`" for value in kinds.values()) or "–"
    numbers = [value for value in kinds.values() if isinstance(value, int | float)]
    if len(numbers) < len(kinds) - 1:
        return f"{len(kinds)} different ones"
    null = ", or null" if None in kinds.values() else ""
    return f"`{format_value(min(numbers))}` to `{format_value(max(numbers))}`{null}"


def format_value(value: Any) -> str:
    """Write one value as YAML in one line; of a long list its beginning."""
    if isinstance(value, list) and len(value) > MOST_LISTED:
        return f"[{value[0]}, …], {len(value)} entries"
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)
        .removesuffix("...\n")
        .strip()
    )


def describe_settings() -> Iterator[list[str]]:
    """List the settings of the networks for classification."""
    by_form: dict[type[Section], list[str]] = {}
    for net, form in SETTINGS.items():
        by_form.setdefault(form, []).append(f"`{net}`")
    for form, nets in by_form.items():
        for name, node in form.model_json_schema()["properties"].items():
            yield [", ".join(nets), f"`{name}`", describe_type(node), node["description"]]


def lay_networks(values: Any) -> str:
    """Write which networks each scale trains."""
    lines = []
    for task in ("segmentation", "classification"):
        for name, network in values[task]["networks"].items():
            recipe = network.get("recipes") or network.get("recipe")
            marks = ["yes" if network[scale] else "no" for scale in SCALES]
            lines.append([task, f"`{name}`", f"`{network['net']}`", f"`{recipe}`", *marks])
    return lay_left(("task", "network", "net", "recipes or recipe", *SCALES), lines)
