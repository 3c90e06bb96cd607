"""The reference model: a small SegFormer trained on drawn scenes, so any machine can run it.

`MODEL_DIRECTORY` contains the exported model that the package includes.
"""

from pathlib import Path

MODEL_DIRECTORY = Path(__file__).parent / "model"
