"""Formulas as MathML: no script, one small font, and broken into lines where a screen is narrow.

formula(r"m = c + \\rho\\,(p - c)", display=True)
"""

import re
from xml.etree import ElementTree

from docutils import nodes
from sphinx.util.math import get_node_equation_number

SIZED = re.compile(r"\\[bB]ig+[lr]?(?=\\[lr]Vert)")  # the converter knows no sized norm
NAMED = re.compile(r"\\(ln|log|cos|exp|max|min)\b\s*(?=[A-Za-z0-9\\])(?!\\[,;!])")
JOINTS = set("=≈≥≤→←⟹+−-±∈")  # a line may begin with one of these ...
OPEN, CLOSE, BARS = set("([{⟨"), set(")]}⟩"), set("|‖∥")  # ... outside of brackets and bars


def formula(tex: str, display: bool = False) -> str:
    """TeX as MathML; a displayed formula in parts, between which a narrow screen breaks lines."""
    from latex2mathml.converter import convert

    tex = SIZED.sub("", tex).replace(r"\arg\max", r"\operatorname{argmax}")
    text = convert(NAMED.sub(r"\\\1\\,", tex), display="block" if display else "inline")
    root = ElementTree.fromstring(re.sub(r' xmlns="[^"]*"', "", text, count=1))
    for bar in root.iter("mo"):
        if bar.text in BARS:  # as tall as what it encloses, which here is one letter
            bar.attrib |= {"stretchy": "false", "lspace": "0", "rspace": "0"}
    if not display:
        return ElementTree.tostring(root, encoding="unicode")
    groups = "".join(f"<span>{''.join(map(_math, group))}</span>" for group in _groups(root[0]))
    return f'<span class="hkt-formula">{groups}</span>'


def _groups(row: ElementTree.Element) -> list[list[list[ElementTree.Element]]]:
    """The row's elements as parts, a new one before each joint outside of brackets; the parts of
    what stands between wide spaces are a group."""
    groups, depth, bars = [[[]]], 0, 0
    for one in row:
        last = groups[-1][-1]
        if depth == 0 and not bars % 2:
            if last and last[-1].tag == "mspace" and last[-1].get("width") in ("1em", "2em"):
                groups.append([[]])
            elif one.text in JOINTS and any(element.tag != "mspace" for element in last):
                one.set("form", "infix")
                groups[-1].append([])
        groups[-1][-1].append(one)
        base = one[0] if one.tag in ("msup", "msub", "msubsup") else one
        depth += (base.text in OPEN) - (base.text in CLOSE)
        bars += one.text in BARS
    return groups


def _math(elements: list[ElementTree.Element]) -> str:
    math = ElementTree.Element("math", {"displaystyle": "true"})
    ElementTree.SubElement(math, "mrow").extend(elements)
    return ElementTree.tostring(math, encoding="unicode")


def inline(self, node: nodes.math) -> None:
    self.body.append(f'<span class="math">{formula(node.astext())}</span>')
    raise nodes.SkipNode


def block(self, node: nodes.math_block) -> None:
    """A displayed formula, its number beside it."""
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    self.body.append(formula(node.astext().strip(), display=True))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode
