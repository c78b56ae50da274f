"""Writes tensorboard.bin beside it: an event file of the tensorboardX package, with the numbers of a test.

Run it with a Python that has tensorboardX (2.6.5 wrote the file that is here). The test that compares our bytes with it is
in coordinator/src/report/tensorboard/event.rs.
"""

from pathlib import Path

from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter

EVENTS = [
    (1, 12.5, [("validation/auc", 0.625), ("training/loss", 0.7)]),
    (300, 1e9, [("norm/north", -1.5)]),
]

path = Path(__file__).with_name("tensorboard.bin")
path.unlink(missing_ok=True)
writer = RecordWriter(str(path))
writer.write(Event(wall_time=0.0, file_version="brain.Event:2").SerializeToString())
for step, seconds, scalars in EVENTS:
    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars]
    event = Event(wall_time=seconds, step=step, summary=Summary(value=values))
    writer.write(event.SerializeToString())
writer.close()
