"""Right answers that look nothing like the references, by exercise: `check` must accept every one of them."""

from . import notebook_01, notebook_02, notebook_03, notebook_04, notebook_05, notebook_06

NOTEBOOKS = (notebook_01, notebook_02, notebook_03, notebook_04, notebook_05, notebook_06)
RIGHT_ANSWERS = {name: answers for notebook in NOTEBOOKS for name, answers in notebook.ANSWERS.items()}
