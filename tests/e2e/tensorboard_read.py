"""Prints what the real TensorBoard reads in a log folder, as JSON: {"scalars": {tag: [[step, value], ...]}, "hparams":
{name: value}}.

    tensorboard_read.py LOG_FOLDER
"""
import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData


def main():
    scalars, hparams = {}, {}
    for folder in {path.parent for path in pathlib.Path(sys.argv[1]).rglob("events.out.tfevents.*")}:
        events = EventAccumulator(str(folder))
        events.Reload()
        for tag in events.Tags()["scalars"]:
            scalars[tag] = [(event.step, event.value) for event in events.Scalars(tag)]
        if "_hparams_/session_start_info" in events.summary_metadata:
            content = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
            for name, value in HParamsPluginData.FromString(content).session_start_info.hparams.items():
                hparams[name] = getattr(value, value.WhichOneof("kind")) if value.WhichOneof("kind") else None
    print(json.dumps({"scalars": scalars, "hparams": hparams}))


if __name__ == "__main__":
    main()
