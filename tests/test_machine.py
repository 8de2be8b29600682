"""The processor's name."""

import pytest

from course_utils import machine

CPUINFO = """processor\t: 0
model name\t: A Processor
cpu family\t: 25
model\t\t: 17
flags\t\t: model name

processor\t: 1
model name\t: Another
cpu family\t: 6
model\t\t: 1
"""


@pytest.mark.parametrize(
    ("cpuinfo", "told"),
    [
        (CPUINFO, "A Processor (family 25, model 17)"),
        ("model name : A: B\n", "A: B"),
        ("", "that of Python"),
        (None, "that of Python"),
    ],
)
def test_the_processor_is_named_with_family_and_model_where_linux_tells_them(cpuinfo, told, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "INFORMATION", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine.platform, "processor", lambda: "that of Python")
    if cpuinfo is not None:
        machine.INFORMATION.write_text(cpuinfo, encoding="utf-8")
    assert machine.processor() == told
