"""A plain caller of the sandbox, written from the published calls and sharing nothing with the server."""

import io
import uuid
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from alaas_pipeline_tests.sandbox_process import API_KEY, NO_TLS, TEMPLATE_UID

Files = dict[str, bytes]


def picture(number: int = 0, form: str = "PNG", size: tuple[int, int] = (8, 6)) -> bytes:
    """A small image whose content differs for every number."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (number % 256, number // 256 % 256, 7)).save(buffer, form)
    return buffer.getvalue()


def table(folder: Path, text: str) -> str:
    """Write a table of true labels and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


class Api(httpx.Client):
    """An HTTP client with a key, and the longer ways as one call each."""

    def __init__(self, base_url: str, key: str | None = API_KEY) -> None:
        headers = {"X-Avala-Api-Key": key} if key else {}
        super().__init__(base_url=base_url, headers=headers, timeout=20, verify=NO_TLS)
        self.root = base_url.removesuffix("/api/v1")
        self.storage = httpx.Client(timeout=20, verify=NO_TLS)
        self._others: list[Api] = []

    def as_key(self, key: str, **what: Any) -> "Api":
        """Another client, whose key is registered first."""
        self.storage.post(f"{self.root}/_sandbox/keys", json={"key": key, **what}).raise_for_status()
        return self.without_key(key)

    def without_key(self, key: str | None = None) -> "Api":
        """Another client, with no key or one that is registered already. It is closed together with this one."""
        self._others.append(Api(f"{self.root}/api/v1", key))
        return self._others[-1]

    def close(self) -> None:
        """Closes every connection."""
        for other in self._others:
            other.close()
        self.storage.close()
        super().close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def presign(self, dataset: str, path: str, data: bytes, **more: Any) -> dict[str, Any]:
        """Asks for the upload of a file, with protocol 2 unless ``more`` says otherwise."""
        body = {
            "dataset_name": dataset,
            "file_path_in_dataset": path,
            "content_length": len(data),
            "upload_protocol_version": 2,
            "dataset_upload_uid": str(uuid.uuid4()),
        }
        answer = self.post("/datasets/manual-upload/file-upload-url/", json=body | more)
        return answer.raise_for_status().json()

    def complete(self, upload_uid: str) -> httpx.Response:
        """Confirms an upload."""
        return self.post(f"/datasets/manual-upload/uploads/{upload_uid}/complete/", json={})

    def upload(self, dataset: str, files: Files) -> None:
        """Uploads files by PUT."""
        for path, data in files.items():
            slot = self.presign(dataset, path, data)
            self.storage.put(slot["url"], content=data, headers=slot["headers"]).raise_for_status()
            self.complete(slot["upload_uid"]).raise_for_status()

    def finalise(self, name: str, **more: Any) -> httpx.Response:
        """Makes a dataset of what was uploaded."""
        body = {"name": name, "slug": name, "data_type": "image"} | more
        return self.post("/datasets/manual-upload/", json=body)

    def dataset(self, name: str, files: Files) -> dict[str, Any]:
        """Uploads, finalises and waits."""
        self.upload(name, files)
        uid = self.finalise(name).raise_for_status().json()["uid"]
        while (found := self.get(f"/datasets/{uid}/").raise_for_status().json())["status"] != "created":
            pass
        return found

    def clone(self, dataset_uid: str | None, name: str, **more: Any) -> httpx.Response:
        """Clones the image template."""
        body = {"source_project_uid": TEMPLATE_UID, "name": name, "copy_collaborators": False}
        if dataset_uid is not None:
            body["image_dataset_uid"] = dataset_uid
        return self.post("/projects/create-from-existing/", json=body | more)

    def project(self, name: str, files: Files) -> str:
        """Uploads, finalises, clones; returns the uid of a project that waits for approval."""
        dataset = self.dataset(name, files)
        return self.clone(dataset["uid"], name).raise_for_status().json()["uid"]

    def act(self, project_uid: str, action: str) -> httpx.Response:
        """Approves, pauses, resumes, cancels or archives."""
        return self.post(f"/projects/{project_uid}/{action}/")

    def status(self, project_uid: str) -> str:
        """Status of a project."""
        return self.get(f"/users/me/projects/{project_uid}/").raise_for_status().json()["status"]

    def admin(self, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """A GET, or with a body a POST, below ``/_sandbox/``."""
        url = f"{self.root}/_sandbox/{path}"
        return self.storage.get(url) if body is None else self.storage.post(url, json=body)

    def tasks(self, project_uid: str) -> list[dict[str, Any]]:
        """Tasks as the sandbox itself knows them, with keys and labels."""
        return self.admin(f"projects/{project_uid}/tasks").raise_for_status().json()["tasks"]

    def labels(self, project_uid: str) -> dict[str, str | None]:
        """Label of each image by its key."""
        return {task["key"]: task["label"] for task in self.tasks(project_uid)}

    def export(self, body: dict[str, Any]) -> dict[str, Any]:
        """Asks for an export and reads it until it is ready."""
        uid = self.post("/exports/", json=body).raise_for_status().json()["uid"]
        while (found := self.get(f"/exports/{uid}/").raise_for_status().json())["status"] != "exported":
            pass
        return found

    def pages(self, url: str, **params: Any) -> list[dict[str, Any]]:
        """Every page of a list, by its ``next`` links."""
        pages = [self.get(url, params=params).raise_for_status().json()]
        while pages[-1]["next"] is not None:
            pages.append(self.get(pages[-1]["next"]).raise_for_status().json())
        return pages
