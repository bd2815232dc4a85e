"""papermill's parameters as `let` statements of Rust.

| Python | Rust |
| --- | --- |
| `"text"` | `let name: String = String::from("text");` |
| `3`, `0.5`, `True` | `let name: i64 = 3_i64;`, `f64`, `bool` |
| `[1, 2]` | `let name: Vec<i64> = vec![1_i64, 2_i64];`, if all are of one type |
| `None`, dictionaries, other lists | `serde_json::Value`, which Benchbook's cells have |

The types are explicit because a cell is compiled without the later cells that use its variables.
"""

import json
import math
import re

from papermill.engines import NBClientEngine
from papermill.models import Parameter
from papermill.translators import Translator, papermill_translators

from benchbook.rust import is_variable

INT_RANGES = {"i64": range(-(2**63), 2**63), "u64": range(2**64)}
SHORT_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}
# A statement of the cell tagged `parameters`: `let name: Type = value;`, optionally with a comment.
STATEMENT = re.compile(r"^\s*let\s+(?:mut\s+)?(?P<name>\w+)\s*(?::\s*(?P<type>[^=]+?))?\s*=\s*(?P<value>.*);\s*(?://\s*(?P<help>.*))?$")


class RustTranslator(Translator):
    @classmethod
    def translate_str(cls, val: str) -> str:
        return f"String::from({cls._literal(val)})"

    # papermill calls this for types that it does not know, such as dates.
    @classmethod
    def translate_escaped_str(cls, str_val: object) -> str:
        return cls.translate_str(str(str_val))

    @classmethod
    def _literal(cls, text: str) -> str:
        def escaped(char: str) -> str:
            return SHORT_ESCAPES.get(char) or (char if char.isprintable() else f"\\u{{{ord(char):x}}}")

        return '"' + "".join(map(escaped, text)) + '"'

    @classmethod
    def translate_int(cls, val: int) -> str:
        return f"{val}_{cls._int_type(val)}"

    @classmethod
    def _int_type(cls, val: int) -> str:
        for name, numbers in INT_RANGES.items():
            if val in numbers:
                return name
        return "i128"

    @classmethod
    def translate_float(cls, val: float) -> str:
        if math.isnan(val):
            return "f64::NAN"
        if math.isinf(val):
            return "f64::INFINITY" if val > 0 else "f64::NEG_INFINITY"
        return f"{val!r}_f64"

    @classmethod
    def translate_none(cls, val: None) -> str:
        return "benchbook::serde_json::Value::Null"

    @classmethod
    def translate_dict(cls, val: dict) -> str:
        return cls._json(val)

    @classmethod
    def translate_list(cls, val: list) -> str:
        if cls._type(val).startswith("Vec"):
            return f"vec![{', '.join(cls.translate(item) for item in val)}]"
        return cls._json(val)

    @classmethod
    def _json(cls, val: object) -> str:
        # As text, because the macro `json!` restricts nesting and signs.
        return f"benchbook::serde_json::from_str::<benchbook::serde_json::Value>({cls._literal(json.dumps(val, default=str))}).unwrap()"

    @classmethod
    def _type(cls, val: object) -> str:
        if isinstance(val, bool):
            return "bool"
        if isinstance(val, int):
            return cls._int_type(val)
        if isinstance(val, float):
            return "f64"
        if isinstance(val, list):
            types = {cls._type(item) for item in val}
            if len(types) == 1:
                return f"Vec<{types.pop()}>"
        if val is None or isinstance(val, (dict, list)):
            return "benchbook::serde_json::Value"
        return "String"

    @classmethod
    def comment(cls, cmt_str: str) -> str:
        return f"// {cmt_str}".strip()

    @classmethod
    def codify(cls, parameters: dict, comment: str = "Parameters") -> str:
        lines = [cls.comment(comment)]
        for name, value in parameters.items():
            if not is_variable(name):
                raise ValueError(f"expected the name of a Rust variable, found the parameter {name!r}")
            lines.append(f"let {name}: {cls._type(value)} = {cls.translate(value)};")
        return "\n".join(lines) + "\n"

    @classmethod
    def inspect(cls, parameters_cell) -> list[Parameter]:
        found = []
        for line in parameters_cell.source.splitlines():
            if statement := STATEMENT.match(line):
                found.append(
                    Parameter(
                        name=statement["name"],
                        inferred_type_name=(statement["type"] or "None").strip(),
                        default=statement["value"].strip(),
                        help=(statement["help"] or "").strip(),
                    )
                )
        return found


class RustEngine(NBClientEngine):
    """papermill's own engine. Loading this module registers Rust."""


papermill_translators.register("rust", RustTranslator)
