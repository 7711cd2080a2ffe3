"""The journal: every record is there, on a disk that is full too, and each segment is readable alone."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lightning_lrsched.tracking.journal import Journal, Steps, decode, note, segment_path, segments, step_packer


def told(messages: list[str]) -> Journal:
    return Journal(None, messages.append)


def steps_in(data: bytes) -> list[tuple[int, int, list[float]]]:
    found = []
    for part, _ in decode(data, 0, 5):
        if isinstance(part, Steps):
            rows = zip(part.axis.tolist(), part.timestamps.tolist(), part.values.tolist(), strict=True)
            found += list(rows)
    return found


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path, pytest.fail)
    one, two = step_packer(0, 1), step_packer(1, 3)
    rows = [(step, 1000 + step, [0.1 * step] if step % 13 < 9 else [step, np.inf, -0.0]) for step in range(100)]
    for row in rows:
        journal.append((one if len(row[2]) == 1 else two)(*row[:2], *row[2]))
    journal.append(note(what="a note", number=1.5))
    journal.close()
    data = segment_path(tmp_path, 0).read_bytes()
    assert steps_in(data) == rows
    assert [part for part, _ in decode(data, 0, 5) if isinstance(part, dict)] == [{"what": "a note", "number": 1.5}]
    assert list(decode(data, 0, 5))[-1][1] == len(data)


@pytest.mark.parametrize("cut", [1, 7, 8, 20, 31])
def test_a_record_that_was_cut_off_is_not_read(cut: int) -> None:
    pack = step_packer(0, 1)
    data = pack(1, 2, 0.5) + pack(2, 3, 0.25)[:cut]
    assert steps_in(data) == [(1, 2, [0.5])]


def test_files_are_private_to_the_user(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Journal(tmp_path, pytest.fail).close()
    finally:
        os.umask(before)
    assert [oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == ["0o600"]


def test_every_segment_begins_with_what_makes_it_readable_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path, pytest.fail, segment_bytes=300)
    header = note(layout=1)
    journal.append(header)
    journal.header["layout"] = header
    pack = step_packer(0, 1)
    for step in range(40):
        journal.append(pack(step, step, 0.5))
    journal.close()
    assert len(segments(tmp_path)) > 3
    parts = [segment_path(tmp_path, index).read_bytes() for index in segments(tmp_path)]
    assert all(next(decode(data, 0, 1))[0] == {"layout": 1} for data in parts)
    assert [axis for data in parts for axis, _, _ in steps_in(data)] == list(range(40))


def test_a_journal_that_is_closed_has_no_open_file(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    journal = Journal(tmp_path, pytest.fail, segment_bytes=100)
    for step in range(20):
        journal.append(step_packer(0, 1)(step, step, 0.5))
    assert len(segments(tmp_path)) > 3
    assert len(os.listdir("/proc/self/fd")) == before + 1
    journal.close()
    journal.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_a_folder_everything_is_kept_in_memory() -> None:
    journal = told([])
    pack = step_packer(0, 1)
    for step in range(10):
        journal.append(pack(step, step, 0.5))
    assert [axis for axis, _, _ in steps_in(journal.take_memory(1 << 20))] == list(range(10))
    assert not journal.memory


def test_memory_is_bounded_and_what_is_dropped_is_counted() -> None:
    pack = step_packer(0, 1)
    journal = Journal(None, pytest.fail, most_in_memory=10 * len(pack(0, 0, 0.5)))
    for step in range(25):
        journal.append(pack(step, step, 0.5))
    journal.append(note(end=True))
    assert journal.dropped == 15
    data = journal.take_memory(1 << 20)
    assert [axis for axis, _, _ in steps_in(data)] == list(range(10))
    assert list(decode(data, 0, 99))[-1][0] == {"end": True}


def test_what_is_taken_from_memory_makes_room() -> None:
    pack = step_packer(0, 1)
    size = len(pack(0, 0, 0.5))
    journal = Journal(None, pytest.fail, most_in_memory=10 * size)
    for step in range(10):
        journal.append(pack(step, step, 0.5))
    assert [axis for axis, _, _ in steps_in(journal.take_memory(3 * size))] == [0, 1, 2]
    for step in range(10, 15):
        journal.append(pack(step, step, 0.5))
    assert journal.dropped == 2
    assert [axis for axis, _, _ in steps_in(journal.take_memory(1 << 20))] == list(range(3, 13))


FULL = """
import resource, sys
from pathlib import Path
from lightning_lrsched.tracking.journal import Journal, segment_path, step_packer
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
told = []
journal = Journal(Path(sys.argv[1]), told.append)
pack = step_packer(0, 1)
for step in range(100):
    journal.append(pack(step, step, 0.5))
size = segment_path(Path(sys.argv[1]), 0).stat().st_size
assert size % len(pack(0, 0, 0.5)) == 0, size
print(len(told), size // len(pack(0, 0, 0.5)), len(journal.memory), told[0])
"""


def test_a_file_that_may_not_grow_is_left_whole_and_the_rest_is_kept_in_memory(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], check=True, capture_output=True, text=True)
    times, on_disk, in_memory, message = done.stdout.split(maxsplit=3)
    assert (times, int(on_disk) + int(in_memory)) == ("1", 100)
    assert 0 < int(on_disk) < 100
    assert message.startswith(f"The spool cannot be written ({os.strerror(errno.ENOSPC)}): tracking goes on in memory")


ROLLS = """
import os, resource, sys
from pathlib import Path
from lightning_lrsched.tracking.journal import Journal, decode, segments, segment_path, step_packer
told, pack = [], step_packer(0, 1)
import numpy, encodings.idna
journal = Journal(Path(sys.argv[1]), told.append, segment_bytes=320)
for step in range(5):
    journal.append(pack(step, step, 0.5))
before = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
for step in range(5, 25):
    journal.append(pack(step, step, 0.5))
resource.setrlimit(resource.RLIMIT_NOFILE, before)
for step in range(25, 38):
    journal.append(pack(step, step, 0.5))
journal.close()
data = b"".join(segment_path(Path(sys.argv[1]), index).read_bytes() for index in segments(Path(sys.argv[1])))
print(told, len(journal.memory), len(segments(Path(sys.argv[1]))), len(data) // len(pack(0, 0, 0.5)))
"""


def test_a_process_that_may_open_no_more_files_goes_on_in_the_segment_that_is_open(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ROLLS, tmp_path], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["[]", "0", "2", "38"], "the next one is tried after a segment's worth, not each time"


def test_a_file_that_cannot_be_closed_raises_nothing_into_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network's file system tells a full quota when a file is closed: no such one can be made here."""
    journal, pack, close = Journal(tmp_path, pytest.fail, segment_bytes=300), step_packer(0, 1), os.close

    def refused(fd: int) -> None:
        close(fd)
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "close", refused)
    for step in range(40):
        journal.append(pack(step, step, 0.5))
    journal.close()
    monkeypatch.undo()
    parts = [segment_path(tmp_path, index).read_bytes() for index in segments(tmp_path)]
    assert len(parts) > 3
    assert [axis for data in parts for axis, _, _ in steps_in(data)] == list(range(40))
