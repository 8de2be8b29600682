"""Right answers that look nothing like the references, by exercise: `check` must accept every one of them."""

from . import notebook_01, notebook_02, notebook_03, notebook_04, notebook_06

RIGHT_ANSWERS = {
    **notebook_01.ANSWERS,
    **notebook_02.ANSWERS,
    **notebook_03.ANSWERS,
    **notebook_04.ANSWERS,
    **notebook_06.ANSWERS,
}
