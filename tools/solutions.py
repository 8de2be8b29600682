"""Where the exercises of a notebook are, and their solutions put in place of the stubs.

An exercise is, cell by cell: its heading and question; the answer cell, which holds a stub or code with a bug to find;
the check; and text that begins with two hints and the solution, each folded.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass

from nbformat import NotebookNode

CHECK = re.compile(r'check\("([^"]+)", (\w+)\)')
SOLUTION = re.compile(r"<details><summary>Solution</summary>\n\n```python\n(?P<code>.*?)```.*?</details>", flags=re.S)


@dataclass(frozen=True)
class Exercise:
    """One exercise of a notebook: the name of its answer, the places of its cells, the code of its solution."""

    id: str
    answer: str
    answer_cell: int
    check_cell: int
    solution: str


def exercises(notebook: NotebookNode) -> list[Exercise]:
    """The exercises in their order. One without exactly one solution is a ValueError."""
    found = []
    for place, cell in enumerate(notebook.cells):
        check = CHECK.fullmatch(cell.source) if cell.cell_type == "code" else None
        if check:
            solutions = SOLUTION.findall(notebook.cells[place + 1].source)
            if len(solutions) != 1:
                raise ValueError(f"Exercise {check[1]} has {len(solutions)} solutions behind its check; it needs one.")
            found.append(Exercise(check[1], check[2], place - 1, place, solutions[0]))
    return found


def answer_with_solutions(notebook: NotebookNode, found: list[Exercise]) -> NotebookNode:
    """A copy of the notebook whose answer cells hold the solutions."""
    solved = copy.deepcopy(notebook)
    for exercise in found:
        solved.cells[exercise.answer_cell].source = exercise.solution.rstrip("\n")
    return solved
