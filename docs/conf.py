"""The documentation site: `make docs` builds it into site/, without a network, and any warning fails it."""

import re
import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml
from lightning.pytorch.callbacks import Callback
from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent.parent))

project = "lightning-lrsched"
version = release = installed("lightning-lrsched")
html_title = f"{project} {version}"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [
    # Types of other libraries, whose inventories would need a network, and those inside of this package.
    ("py:(class|exc)", r"(?!lightning_lrsched\.).*"),
    ("py:(class|exc)", r"lightning_lrsched\.(?!\w+$).*"),
    # Named in docstrings of inner modules, where they are not found by these short names.
    ("py:obj", r"Warmup|MLflowTracker|ensemble\.sharded\.joined"),
]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
python_display_short_literal_types = True
maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"
_FORMULA = re.compile(r"\$(?!\s)([^$]+?)\$", flags=re.DOTALL)

_LINK = re.compile(r"\]\((?!https?:|#|/)([^)]*)\)")
_OUTSIDE = re.compile(r"\]\((\.\./[^)#]*)(#[^)]*)?\)")
_INCLUDED = {"../examples/README.md": "examples.md", "../mlflow_configs/README.md": "sweeps.md"}


def links(app: Sphinx, path: Path, parent: str, content: list[str]) -> None:
    """Let the links of a page that another includes lead from where it lies; pages outside of docs are files."""

    def led(link: re.Match[str]) -> str:
        is_file = link[1].endswith(".md") and not link[1].startswith("../docs/")
        return f"]({'path:' if is_file else ''}{path.parent.as_posix()}/{link[1]})"

    content[0] = _LINK.sub(led, content[0])


def pages(app: Sphinx, page: str, content: list[str]) -> None:
    """Let a link to a file outside of docs lead to the page that includes it; all else is a file."""

    def led(link: re.Match[str]) -> str:
        return f"]({_INCLUDED[link[1]]}{link[2] or ''})" if link[1] in _INCLUDED else f"](path:{link[1]})"

    content[0] = _OUTSIDE.sub(led, content[0])


def formulas(*event: Any) -> None:
    """Turn $...$ in docstrings into formulas."""
    lines: list[str] = event[-1]
    lines[:] = _FORMULA.sub(r":math:`\1`", "\n".join(lines)).splitlines()


def prose(*event: Any) -> None:
    """Give the first words of a property back, which napoleon takes for its type where a colon follows them."""
    lines: list[str] = event[-1]
    for line in [line for line in lines if line.startswith(":type: ") and event[1] in ("attribute", "property")]:
        lines.remove(line)
        lines[0] = f"{line.removeprefix(':type: ')}: {lines[0]}"


def inline_mathml(self: Any, node: nodes.math) -> None:
    """Write a formula in the text as MathML, which browsers draw by themselves."""
    self.body.append(latex2mathml.tex2mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def block_mathml(self: Any, node: nodes.math_block) -> None:
    """Write a formula of its own as MathML."""
    self.body.append(f"<p>{latex2mathml.tex2mathml(node.astext(), as_block=True)}</p>")
    raise nodes.SkipNode


def hooks(app: Sphinx, what: str, name: str, *_: Any) -> bool | None:
    """Leave out what Lightning calls; a user does not."""
    return True if hasattr(Callback, name) else None


def setup(app: Sphinx) -> None:
    """Register what stands above."""
    app.connect("autodoc-process-docstring", prose, priority=800)
    app.connect("autodoc-process-docstring", formulas, priority=900)
    app.connect("include-read", links)
    app.connect("source-read", pages)
    app.connect("autodoc-skip-member", hooks)
    app.add_html_math_renderer("mathml", (inline_mathml, None), (block_mathml, None))


html_math_renderer = "mathml"
