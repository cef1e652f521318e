"""Stands in for the platform: serves a package folder over HTTP on loopback.

    python server.py PACKAGE_FOLDER

Prints its port once the service is loaded. POST / takes multipart/form-data, as the platform does; GET / says where the
package's modules come from.
"""

import importlib
import io
import json
import sys
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

from model_service.pytorch_model_service import PTServingBaseService


def load_service(folder: Path) -> PTServingBaseService:
    """The one subclass of the base class that `customize_service.py` defines, made as the platform makes it."""
    model = folder.resolve() / "model"
    sys.path.insert(0, str(model))
    module = importlib.import_module("customize_service")
    (kind,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, PTServingBaseService) and value is not PTServingBaseService
    )
    (weights,) = model.glob("*.pth")
    return kind("model", str(weights))


def uploaded(content_type: str, body: bytes) -> dict[str, dict[str, io.BytesIO]]:
    """Files of a multipart/form-data request by field and file name."""
    message = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    files: dict[str, dict[str, io.BytesIO]] = {}
    for part in message.get_payload():
        name = part.get_param("name", header="content-disposition")
        files.setdefault(name, {})[part.get_filename()] = io.BytesIO(part.get_payload(decode=True))
    return files


class Handler(BaseHTTPRequestHandler):
    service: ClassVar[PTServingBaseService]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            self.reply(200, self.service.inference(uploaded(self.headers["Content-Type"], body)))
        except Exception as error:
            self.reply(500, {"error": f"{type(error).__name__}: {error}"})

    def do_GET(self) -> None:
        modules = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
        self.reply(200, {name: file for name, file in modules.items() if name.split(".")[0] == "polydx"})

    def reply(self, status: int, value: object) -> None:
        body = json.dumps(value, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Records are private: nothing is logged."""


if __name__ == "__main__":
    Handler.service = load_service(Path(sys.argv[1]))
    server = HTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
