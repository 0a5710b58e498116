"""The reference of the config: every section and field, from the models in `tl_keras/config/`."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from generators import schema
from tl_keras.config import space
from tl_keras.config import text as configs
from tl_keras.config.earlier.difference import ADDING
from tl_keras.config.search import Range
from tl_keras.config.whole import RunConfig
from tl_keras.modalities import MODALITIES, part
from tl_keras.modalities.image.config import Augmentation, RandAugment
from tl_keras.modalities.text.config import TextAugmentation

PAGE = "reference/config.md"
INTRO = """
# Config

A config is a YAML 1.2 file. It contains only the fields that differ from their defaults:

```yaml
data: {path: photos}
image: {size: 192}
fit: {freeze: 0.75, learning_rate: 1e-3}
```

```sh
tl-keras finetune --config=photos.yaml --workdir=runs/photos --set fit.epochs=20
```

- `--set SECTION.FIELD=VALUE` replaces one field. The value is YAML, so lists and fields work too:
  `--set 'export.formats=[int8, float32]'`. The flag can be repeated, the last one wins.
- Precedence: defaults, then the file of `--config`, then `--set`. `--data=PATH` takes the place of
  a file and sets `data.source` and `data.path`.
- Paths are relative to the current folder. `~` is expanded.
- Unknown fields, wrong types and values out of range are refused before anything else happens. The
  message names the nearest valid choice.
- `tl-keras schema` prints all of this as a JSON schema, which editors use to complete and check a
  config.
- In Python, a config is nested dicts with the same names: `{"fit": {"freeze": 0.75}}`.
- The resolved config, with all defaults, is saved as `config.yaml` in the folder of a run. The same
  command with another config is refused, except for fields that only add to a run:
  ADDING.
"""
# Fields whose values have fields of their own, in a list or under a name that the user chooses.
NESTED: dict[str, type[BaseModel]] = {
    "image.augment": Augmentation,
    "image.augment.rand_augment": RandAugment,
    "text.augment": TextAugmentation,
    "search.space": Range,
}


@dataclass(frozen=True)
class Field:
    """A field of the config.

    Attributes:
      name: as in `--set`, such as `fit.freeze`.
      node: its JSON schema.
      default: as YAML; None if the field is required or has no default of its own.
    """

    name: str
    node: schema.Node
    default: str | None


def text() -> str:
    """Returns the page."""
    root = configs.schema()
    every = list(_fields(root))
    links = addresses()
    adding = ", ".join(_link(name, links) for name in ADDING)
    lines = [INTRO.strip().replace("ADDING", adding), "", *_table(root), ""]
    lines += ["## Fields outside of sections", ""]
    section = ""
    for field in every:
        above = field.name.partition(".")[0] if "." in field.name else ""
        if above != section:
            lines += [f"## `{above}`", "", _about(above, links), ""]
            section = above
        lines += [_field(field, root, links), ""]
    return "\n".join(lines).rstrip() + "\n"


def addresses(page: str = "") -> dict[str, str]:
    """Returns the address of each field by its name, on this page or as seen from another one."""
    return {
        field.name: f"{page}#{schema.anchor(field.name)}" for field in _fields(configs.schema())
    }


def _table(root: schema.Node) -> list[str]:
    rows = ["| section | what it sets |", "| --- | --- |"]
    for name, node in root["properties"].items():
        definition = schema.resolved(node, root)
        if "properties" in definition:
            first = inspect.cleandoc(definition["description"]).partition("\n\n")[0]
            rows.append(f"| [`{name}`](#{schema.anchor(name)}) | {' '.join(first.split())} |")
    return rows


def _about(section: str, links: dict[str, str]) -> str:
    model = type(_example(section))
    return inspect.cleandoc(model.__doc__ or "")


def _example(section: str) -> Any:
    config = RunConfig.model_validate({"data": {"source": "digits"}})
    return getattr(config, section)


def _fields(root: schema.Node) -> Iterator[Field]:
    """All fields: those outside of sections, then each section with its nested models."""
    sections = []
    for name, node in root["properties"].items():
        definition = schema.resolved(node, root)
        if "properties" in definition:
            sections.append((name, definition))
        else:
            yield Field(name, node, schema.as_yaml(node["default"]))
    for name, definition in sections:
        yield from _of_model(name, definition, type(_example(name)), root)


def _of_model(
    above: str, definition: schema.Node, model: type[BaseModel], root: schema.Node
) -> Iterator[Field]:
    for name, node in definition["properties"].items():
        full = f"{above}.{name}"
        info = model.model_fields[name]
        default = None
        if not info.is_required() and model is not Augmentation:
            value = info.get_default(call_default_factory=True, validated_data={})
            if name != "space":
                value = _plain(value)
            default = schema.as_yaml(value)
        yield Field(full, node, default)
        if full in NESTED:
            nested = NESTED[full]
            inner = f"{full}.NAME" if nested is Range else full
            yield from _of_model(inner, root["$defs"][nested.__name__], nested, root)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(own) for own in value]
    return value


def _field(field: Field, root: schema.Node, links: dict[str, str]) -> str:
    depth = 4 if field.name.count(".") > 1 else 3
    kind = "fields" if field.name == "search.space" else schema.type_of(field.node, root)
    facts = [f"Type: {kind}"]
    if words := schema.range_of(field.node, root):
        facts.append(f"range: {words}")
    if unit := schema.unit_of(field.node, root):
        facts.append(f"unit: {unit}")
    if field.default is not None:
        facts.append(f"default: `{field.default}`")
    others = {name: address for name, address in links.items() if name != field.name}
    about = schema.described(field.node["description"], others)
    lines = [f"{'#' * depth} `{field.name}`", "", "; ".join(facts) + ".", "", about]
    if field.name == "search.space":
        lines += ["", _searched(links)]
    if field.name in ADDING:
        lines += ["", "A finished run accepts another value."]
    return "\n".join(lines)


def _searched(links: dict[str, str]) -> str:
    names = [f"{section}.{name}" for section, fields in space.SEARCHED.items() for name in fields]
    for modality in MODALITIES:
        names += [f"{modality}.{name}" for name in part(modality, "config").SEARCHED]
    found = ", ".join(_link(name, links) for name in [*names, "model.options.NAME"])
    return (
        f"Fields that a search can change: {found}, and `model` for several of its fields at once."
    )


def _link(name: str, links: dict[str, str]) -> str:
    address = links.get(name) or f"#{schema.anchor(name)}"
    return f"`{name}`" if name.endswith("NAME") else f"[`{name}`]({address})"
