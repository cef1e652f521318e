"""One record at a time: what a contest's serving folder does with an upload.

Everything this module imports is copied into that folder, so it needs no more than torch, transformers and numpy.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from polydx.artifacts import Floats
from polydx.contest.files import parse_json, shown
from polydx.contest.readers import RawRecord, record_of
from polydx.deploy.student_model import LoadedStudent, load_student
from polydx.errors import UserError
from polydx.model.tokens import encode

UPLOAD = "json_line"
"""Name of the uploaded file in a request."""


class StudentService:
    """Answers requests with a student; holds no state between them."""

    def __init__(self, folder: Path) -> None:
        """Load the student's folder.

        Raises:
            UserError: It can't be loaded.
        """
        self.student: LoadedStudent = load_student(folder)

    def read(self, request: Mapping[str, Mapping[str, BinaryIO]]) -> RawRecord:
        """Return the one record of a request.

        Args:
            request: Uploaded files by field and file name, as the platform hands them over:
                `{"json_line": {name: file}}`.

        Raises:
            UserError: There is no such file, more than one, or no sound record in it.
        """
        files = request.get(UPLOAD, {})
        if len(files) != 1:
            raise UserError(UPLOAD, f"{len(files)} files were uploaded", "upload one file with one record")
        ((_, file),) = files.items()
        try:
            text = file.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise UserError(UPLOAD, "isn't UTF-8", "encode the record as UTF-8") from None
        cells = parse_json(text, UPLOAD)
        if not isinstance(cells, dict):
            raise UserError(UPLOAD, f"holds {shown(cells)}", "upload one JSON object")
        roles = self.student.card.columns
        return record_of({name: cell for name, cell in cells.items() if name != roles.labels}, roles, UPLOAD)

    @torch.inference_mode()
    def probabilities(self, record: RawRecord) -> Floats:
        """Probabilities `[labels]`, float32, of one record."""
        student = self.student
        tokens = encode(student.tokenizer, [student.text(record)], student.card.max_tokens)
        probabilities: Floats = student.score(*tokens.pad(np.zeros(1, dtype=np.int64))).sigmoid()[0].numpy()
        return probabilities

    def answer(self, record: RawRecord, probabilities: Floats) -> dict[str, list[str]]:
        """`{id: [diagnoses]}` of one record."""
        (columns,) = self.student.decide(probabilities[None])
        return {record.id: self.student.names(columns)}
