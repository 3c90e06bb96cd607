"""The reference model: a small SegFormer trained on drawn scenes, so that any machine can run.

`MODEL_DIRECTORY` holds the exported model that is shipped with the package.
"""

from pathlib import Path

MODEL_DIRECTORY = Path(__file__).parent / "model"
