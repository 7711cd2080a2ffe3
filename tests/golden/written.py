"""Functions of the step that a vector gives as text, such as ``0.95**t``."""

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARED: dict[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "float": float,
    "int": int,
    **{name: getattr(math, name) for name in ("cos", "sin", "exp", "sqrt", "log", "tanh", "floor")},
}
_STEP_NAMES = ("t", "x", "step", "epoch", "s", "i", "e")


@dataclass(frozen=True)
class Written:
    """A function of the step from its text; only arithmetic is read, nothing else is executed.

    Args:
        text: an expression in t, or a lambda of one argument.
    """

    text: str

    def __call__(self, step: int) -> float:
        """Return the value at a step."""
        return float(_value(_body(self.text), step))


def _body(text: str) -> ast.expr:
    node = ast.parse(text.strip(), mode="eval").body
    return node.body if isinstance(node, ast.Lambda) else node


def _value(node: ast.expr, step: int) -> Any:  # noqa: PLR0911  # one return for each kind of node
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name) if name in _STEP_NAMES:
            return step
        case ast.Attribute(value=ast.Name(id="math"), attr="pi") | ast.Name(id="pi"):
            return math.pi
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, step)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_value(left, step), _value(right, step))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _value(body if _value(test, step) else orelse, step)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARED:
            return _COMPARED[type(op)](_value(left, step), _value(right, step))
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(value=ast.Name(id="math"), attr=name), args=args):
            if name in _FUNCTIONS:
                return _FUNCTIONS[name](*(_value(each, step) for each in args))
    raise ValueError(f"{ast.unparse(node)!r} is no arithmetic of the step")
