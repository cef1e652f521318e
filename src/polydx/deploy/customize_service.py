"""The contest platform's entry point: one uploaded record in, its diagnoses out.

`polydx package` lays this file beside a copy of the modules that it needs. The platform imports it, makes one object of
the class below, and calls `_preprocess`, `_inference` and `_postprocess` for each request.
"""

import sys
from pathlib import Path
from typing import BinaryIO

HERE = Path(__file__).resolve().parent
# This folder's own copy of the package comes before any that the platform may have installed.
sys.path.insert(0, str(HERE))

from model_service.pytorch_model_service import PTServingBaseService  # noqa: E402

from polydx.artifacts import Floats  # noqa: E402
from polydx.contest.readers import RawRecord  # noqa: E402
from polydx.deploy.serving import StudentService  # noqa: E402


class DiagnosisService(PTServingBaseService):  # type: ignore[misc]  # the platform's, which isn't installed here
    """Diagnoses of one electronic medical record."""

    def __init__(self, model_name: str, model_path: str) -> None:
        """Load the student.

        Args:
            model_name: The platform's name for the model.
            model_path: The `.pth` file in this folder; it is empty, the weights lie in `student/`.
        """
        super().__init__(model_name, model_path)
        self.service = StudentService(HERE / "student")

    def _preprocess(self, data: dict[str, dict[str, BinaryIO]]) -> RawRecord:
        return self.service.read(data)

    def _inference(self, data: RawRecord) -> tuple[RawRecord, Floats]:
        return data, self.service.probabilities(data)

    def _postprocess(self, data: tuple[RawRecord, Floats]) -> dict[str, list[str]]:
        return self.service.answer(*data)
