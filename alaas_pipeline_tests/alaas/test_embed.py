import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alaas_pipeline.alaas import embed as embed_module
from alaas_pipeline.alaas.embed import EmbedReport, read_vectors
from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.engine.vectors import write_part
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import Home
from alaas_pipeline.ledger import Ledger, images
from alaas_pipeline.ledger.credits import Credits, InsufficientCredits
from alaas_pipeline.store import Store
from alaas_pipeline_tests import forking
from alaas_pipeline_tests.alaas.stand_ins import TinyEncoder, WatchedSource, fill_pool, never, picture, put
from alaas_pipeline_tests.builders import pool_settings
from alaas_pipeline_tests.ledger.dying import die
from alaas_pipeline_tests.ledger.fill import ENCODER

CATS = pool_settings(credit_grant=100)


@pytest.fixture
def source(service: PoolService, photos: Path) -> WatchedSource:
    """Five scanned images."""
    put(photos, *range(5))
    source = WatchedSource(photos)
    service.scan(CATS, source)
    return source


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed_module, "PART", 2)


def part_files(service: PoolService) -> list[Path]:
    return sorted(service.home.files.rglob("*.parquet"))


def embed(service: PoolService, source: WatchedSource, encoder: TinyEncoder | None = None) -> EmbedReport:
    return service.embed(CATS, source, lambda _: encoder or TinyEncoder())


def refusals(service: PoolService) -> dict[str, str]:
    with service.ledger.transaction() as tx:
        return {row["path"]: row["reason"] for row in images.refusals(tx, "cats")}


def test_each_image_gets_one_unit_vector_for_five_credits(service: PoolService, source: WatchedSource) -> None:
    assert embed(service, source) == EmbedReport(
        ENCODER, 48, embedded_now=5, failed_now=0, credits_charged=25, vectors=5
    )
    assert service.usage("cats") == Credits(granted=100, reserved=0, spent=25)
    digests, vectors = read_vectors(service.ledger, service.store, "cats")
    assert (len(set(digests)), vectors.shape, vectors.dtype) == (5, (5, 48), np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)
    assert service.check_embeddings("cats") == []
    assert service.counts("cats").embedded == 5


def test_a_second_time_embeds_and_charges_nothing(service: PoolService, source: WatchedSource) -> None:
    embed(service, source)
    files, held = part_files(service), service.usage("cats")
    source.reads.clear()
    assert service.embed(CATS, source, never) == EmbedReport(ENCODER, 48, 0, 0, 0, 5)
    assert (part_files(service), service.usage("cats"), source.reads) == (files, held, [])


def test_one_new_image_is_one_charge(service: PoolService, source: WatchedSource, photos: Path) -> None:
    embed(service, source)
    put(photos, 17)
    (photos / "copy.png").write_bytes(picture(17))
    service.scan(CATS, source)
    source.reads.clear()
    assert embed(service, source) == EmbedReport(ENCODER, 48, 1, 0, 5, 6)
    assert (service.usage("cats").spent, len(source.reads)) == (30, 1)


def test_the_default_grant_does_not_reach_for_the_demo(service: PoolService, photos: Path) -> None:
    settings = pool_settings()
    fill_pool(service, settings, 2624, embed=False)
    with pytest.raises(
        InsufficientCredits, match=r"Embedding 2,624 images costs 13,120 credits and pool 'cats' may spend 10,000 "
    ):
        service.embed(settings, WatchedSource(photos), never)
    assert service.usage("cats") == Credits(granted=10_000, reserved=0, spent=0)
    assert part_files(service) == []
    assert service.counts("cats").embedded == 0
    with service.ledger.transaction() as tx:
        assert tx.column("SELECT kind FROM credit_entries") == ["grant"]


def test_an_image_that_fails_is_listed_and_not_charged(service: PoolService, source: WatchedSource) -> None:
    report = embed(service, source, TinyEncoder(blind_to=picture(3)))
    assert (report.embedded_now, report.failed_now, report.credits_charged, report.vectors) == (4, 1, 20, 4)
    assert service.usage("cats") == Credits(granted=100, reserved=0, spent=20)
    assert refusals(service) == {"0003.png": "The encoder gave no usable vector."}
    assert service.check_embeddings("cats") == []
    counts = service.counts("cats")
    assert (counts.total, counts.remaining, counts.refused) == (4, 4, 1)
    assert service.embed(CATS, source, never).failed_now == 0


def test_a_failure_of_the_moment_is_mended_by_the_next_look(
    service: PoolService, source: WatchedSource, photos: Path
) -> None:
    shutil.move(photos / "0002.png", photos.parent / "away.png")
    (photos / "0004.png").write_bytes(picture(44))
    report = embed(service, source)
    assert (report.embedded_now, report.failed_now) == (3, 2)
    assert list(refusals(service)) == ["0002.png", "0004.png"]
    shutil.move(photos.parent / "away.png", photos / "0002.png")
    service.scan(CATS, source)
    assert refusals(service) == {}
    assert embed(service, source) == EmbedReport(ENCODER, 48, 2, 0, 10, 5)
    assert service.usage("cats") == Credits(granted=100, reserved=0, spent=25)


@pytest.mark.usefixtures("small_parts")
def test_after_a_crash_each_image_is_charged_once(service: PoolService, source: WatchedSource) -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        embed(service, source, TinyEncoder(fail_after=2))
    assert service.usage("cats") == Credits(granted=100, reserved=0, spent=10)
    encoder = TinyEncoder()
    assert embed(service, source, encoder) == EmbedReport(ENCODER, 48, 3, 0, 15, 5)
    assert encoder.encoded == 3
    assert service.usage("cats") == Credits(granted=100, reserved=0, spent=25)
    assert service.check_embeddings("cats") == []


def embed_and_die(home: Path, photos: Path) -> None:
    """Embeds in parts of two and is killed in the middle of the third."""

    class Deadly(TinyEncoder):
        def encode(self, images: Sequence[Image.Image]) -> np.ndarray:
            if self.encoded >= 4:
                die()
            return super().encode(images)

    embed_module.PART = 2
    place = Home(home)
    service = PoolService(Ledger(place.ledger), Store(str(place.files)), place)
    service.embed(CATS, WatchedSource(photos), lambda _: Deadly())


def test_what_was_stored_before_a_kill_is_neither_embedded_nor_charged_again(
    service: PoolService, photos: Path
) -> None:
    put(photos, *range(9))
    service.scan(CATS, WatchedSource(photos))
    child = forking.start(embed_and_die, service.home.root, photos)
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert service.usage("cats").spent == 20
    encoder = TinyEncoder()
    assert embed(service, WatchedSource(photos), encoder) == EmbedReport(ENCODER, 48, 5, 0, 25, 9)
    assert encoder.encoded == 5
    assert service.usage("cats") == Credits(granted=100, reserved=0, spent=45)
    assert service.check_embeddings("cats") == []


@pytest.mark.usefixtures("small_parts")
def test_a_part_whose_receipt_was_lost_is_made_again(
    service: PoolService, source: WatchedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(images, "record_embedded", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            embed(service, source)
    assert len(part_files(service)) == 1
    assert service.usage("cats") == Credits(granted=100, reserved=0, spent=0)
    assert embed(service, source).embedded_now == 5
    assert service.usage("cats") == Credits(granted=100, reserved=0, spent=25)
    assert service.check_embeddings("cats") == []


def test_a_source_that_is_gone_is_one_message(service: PoolService, source: WatchedSource, photos: Path) -> None:
    photos.rename(photos.with_name("unmounted"))
    with pytest.raises(UserError, match="does not exist"):
        service.embed(CATS, source, never)
    photos.with_name("unmounted").rename(photos)
    assert embed(service, source).embedded_now == 5


@pytest.mark.usefixtures("small_parts")
def test_a_source_that_fails_midway_condemns_no_image(service: PoolService, source: WatchedSource) -> None:
    def fail(path: str) -> None:
        if len(source.reads) > 7:
            raise UserError("s3://photos cannot be read: the key has expired.")

    source.on_read = fail
    with pytest.raises(UserError, match="the key has expired"):
        embed(service, source)
    assert refusals(service) == {}
    source.on_read = lambda path: None
    embed(service, source)
    assert service.usage("cats") == Credits(granted=100, reserved=0, spent=25)
    assert service.counts("cats").embedded == 5


def test_a_pool_that_was_never_looked_through(service: PoolService, photos: Path) -> None:
    assert service.embed(CATS, WatchedSource(photos), lambda _: TinyEncoder()) == EmbedReport(ENCODER, 0, 0, 0, 0, 0)
    assert service.check_embeddings("cats") == []
    assert service.check_embeddings("dogs") == []


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-30]), "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_bytes(b"no parquet at all"), "damaged"),
    ],
)
@pytest.mark.usefixtures("small_parts")
def test_a_part_that_is_lost_or_damaged_is_named(service: PoolService, source: WatchedSource, harm, word: str) -> None:
    embed(service, source)
    part = part_files(service)[1]
    harm(part)
    (problem,) = service.check_embeddings("cats")
    assert problem.startswith(f"Pool 'cats': the vectors in {part} are {word}. Restore this file from a copy, or ")
    with pytest.raises(UserError, match=word):
        service.embed(CATS, source, never)


def test_rows_that_are_lost_repeated_or_too_many(service: PoolService, source: WatchedSource) -> None:
    embed(service, source)
    (part,) = part_files(service)
    digests, vectors = read_vectors(service.ledger, service.store, "cats")
    write_part(part, digests[1:], vectors[1:])
    assert service.check_embeddings("cats") == [f"1 digest is missing a vector: {digests[0]}."]
    write_part(part, [*digests, digests[0]], vectors[[0, 1, 2, 3, 4, 0]])
    assert service.check_embeddings("cats") == [f"1 digest is there more than once: {digests[0]}."]
    write_part(part, [*digests, "stranger"], vectors[[0, 1, 2, 3, 4, 0]])
    assert service.check_embeddings("cats") == []
    assert "stranger" not in read_vectors(service.ledger, service.store, "cats")[0]
    write_part(part, digests, vectors * np.array([[1], [1], [1], [1], [3]]))
    assert service.check_embeddings("cats") == [f"1 digest is not of unit length: {digests[4]}."]


def test_an_image_left_out_is_a_problem(service: PoolService, source: WatchedSource, photos: Path) -> None:
    embed(service, source)
    put(photos, 17, 18)
    service.scan(CATS, source)
    assert service.check_embeddings("cats") == ["2 accepted images have no vector yet."]


def test_near_duplicates_are_marked(service: PoolService, source: WatchedSource, photos: Path) -> None:
    (photos / "again.bmp").write_bytes(picture(3, "BMP"))
    service.scan(CATS, source)
    embed(service, source)
    with service.ledger.transaction() as tx:
        rows = images.details(tx, "cats", list(images.ids(tx, "cats"))).values()
        names = images.ids(tx, "cats")
    pairs = [{row["image_id"], names[row["near_duplicate_of"]]} for row in rows if row["near_duplicate_of"]]
    assert pairs == [{"0003.png", "again.bmp"}]
