"""Stands in for the platform's base class, which can't be installed outside it."""

from typing import Any


class PTServingBaseService:
    """Runs a request through the three steps, as the platform's does."""

    def __init__(self, model_name: str, model_path: str) -> None:
        self.model_name = model_name
        self.model_path = model_path

    def inference(self, data: Any) -> Any:
        return self._postprocess(self._inference(self._preprocess(data)))

    def _preprocess(self, data: Any) -> Any:
        return data

    def _inference(self, data: Any) -> Any:
        raise NotImplementedError

    def _postprocess(self, data: Any) -> Any:
        return data
