import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from alaas_pipeline import config, home
from alaas_pipeline.config import (
    AVALA_BASE_URL,
    SANDBOX_KEY,
    PoolSettings,
    avala_key,
    load_settings,
    pool_key,
    pools_path,
)
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger.rounds import ROUND_KEY, round_key
from alaas_pipeline_tests.builders import TEMPLATE, pool_entry, pool_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of the test's own, and no setting of the machine's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ALAAS_", "AVALA_"))}
    monkeypatch.setattr(home, "load_env", lambda: None)
    with mock.patch.dict(os.environ, kept | {"ALAAS_HOME": str(tmp_path / "state")}, clear=True):
        yield tmp_path


def write(folder: Path, *entries: object, text: str = "") -> Path:
    path = folder / "pools.yaml"
    path.write_text(text or yaml.safe_dump({"pools": list(entries)}, allow_unicode=True), encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_settings(path)
    return str(caught.value)


def test_a_valid_file_with_every_field(folder: Path) -> None:
    path = write(
        folder,
        text=f"""
pools:
  - name: Street cats
    source: s3://photos/cats
    encoder: ViT-B-32/laion2b_s34b_b79k
    strategy: explore
    images_per_round: 50
    tariff: pool-percent
    credit_grant: 25000
    platform: avala
    avala:
      owner: my-team
      template: {TEMPLATE}
      base_url: {AVALA_BASE_URL}
      organization_uid: org-1
    approval: {{policy: auto, max_images_per_round: 50, max_money_per_round: 2.50}}
    price_per_image: 0.1
    currency: EUR
    control_share: 0.1
  - name: Dogs
    key: hounds
    source: dogs
    images_per_round: 5
    platform: sandbox
    avala: {{owner: me, template: t-1}}
    price_per_image: 0
""",
    )
    settings = load_settings(path)
    cats, dogs = settings.pools
    assert (settings.path, cats.key, cats.source, cats.avala.owner) == (
        path,
        "street_cats",
        "s3://photos/cats",
        "my-team",
    )
    assert (cats.price_per_image, cats.price_micros) == (Decimal("0.1"), 100_000)
    assert cats.approval.max_money_per_round == Decimal("2.5")
    assert (dogs.key, dogs.source) == ("hounds", str(folder / "dogs"))
    assert (dogs.encoder, dogs.strategy, dogs.tariff, dogs.credit_grant) == (
        "efficientnet-lite0", "adaptive", "per-candidate", 10_000,
    )  # fmt: skip
    assert (dogs.approval.policy, dogs.currency, dogs.control_share) == ("manual", "USD", 0.0)
    assert settings.pool("hounds") is settings.pool("Dogs") is dogs
    with pytest.raises(UserError, match=r"no pool 'hound'.*street_cats, hounds"):
        settings.pool("hound")


def test_the_shipped_file_is_valid() -> None:
    path = home.shipped_file("pools.yaml")
    (pool,) = load_settings(path).pools
    assert (pool.platform, pool.approval.policy) == ("sandbox", "auto")
    assert Path(pool.source).is_relative_to(home.get_home().demo)


def test_settings_survive_being_kept_with_a_round() -> None:
    settings = pool_settings(
        price_per_image=0.1, approval={"policy": "auto", "max_images_per_round": 3, "max_money_per_round": 0.3}
    )
    assert PoolSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    ("change", "field", "remedy"),
    [
        ({"source": None}, "source", "is missing. Write for example 'source: photos/cats'."),
        ({"platform": None}, "platform", "is missing. Write for example 'platform: avala'."),
        ({"images_per_round": None}, "images_per_round", "is missing. Write for example 'images_per_round: 50'."),
        ({"price_per_image": None}, "price_per_image", "is missing. Write for example 'price_per_image: 0.08'."),
        ({"avala": None}, "avala", "is missing"),
        ({"avala": {"owner": "me"}}, "avala.template", "is missing. Write for example 'template: "),
        ({"avala": {"owner": "", "template": "t"}}, "avala.owner", "Write for example 'owner: my-team'."),
        ({"avala": {"owner": "me", "template": "no uid!"}}, "avala.template", "got 'no uid!'"),
        ({"avala": "me"}, "avala", "got 'me'"),
        ({"avala": {"owner": "me", "template": "t", "ower": 1}}, "avala.ower", "Did you mean 'owner'?"),
        ({"images_per_round": "many"}, "images_per_round", "got 'many'. Write for example 'images_per_round: 50'."),
        ({"images_per_round": True}, "images_per_round", "got True"),
        ({"images_per_round": 2.5}, "images_per_round", "got 2.5"),
        ({"images_per_round": 0}, "images_per_round", "greater than 0, got 0"),
        ({"images_per_round": -3}, "images_per_round", "greater than 0, got -3"),
        ({"credit_grant": -1}, "credit_grant", "greater than or equal to 0, got -1"),
        ({"price_per_image": -0.1}, "price_per_image", "greater than or equal to 0"),
        ({"price_per_image": "cheap"}, "price_per_image", "got 'cheap'. Write for example 'price_per_image: 0.08'."),
        ({"price_per_image": "0.0000001"}, "price_per_image", "decimal places"),
        ({"price_per_image": float("inf")}, "price_per_image", "finite"),
        ({"control_share": 1}, "control_share", "less than 1, got 1"),
        ({"control_share": -0.1}, "control_share", "greater than or equal to 0"),
        ({"image_per_round": 3}, "image_per_round", "is not known. Did you mean 'images_per_round'?"),
        ({"zzz": 3}, "zzz", "Known fields are: name, key, source"),
        ({"platform": "avalla"}, "platform", "'sandbox' or 'avala', got 'avalla'"),
        ({"strategy": "random"}, "strategy", "'coverage', 'explore' or 'adaptive', got 'random'"),
        ({"tariff": "free"}, "tariff", "'per-candidate' or 'pool-percent', got 'free'"),
        ({"encoder": "clip"}, "encoder", "is not an encoder; use efficientnet-lite0, NAME/PRETRAINED"),
        ({"currency": "usd"}, "currency", "got 'usd'. Write for example 'currency: USD'."),
        ({"currency": "dollars"}, "currency", "got 'dollars'"),
        ({"key": "Cats-1"}, "key", "got 'Cats-1'. Write for example 'key: street_cats'."),
        ({"source": ["a"]}, "source", "valid string"),
        ({"approval": {"policy": "auto"}}, "approval", "needs max_images_per_round and max_money_per_round"),
        ({"approval": {"policy": "auto", "max_images_per_round": 3}}, "approval", "needs max_images_per_round and"),
        ({"approval": {"policy": "always"}}, "approval.policy", "'manual' or 'auto', got 'always'"),
        ({"approval": {"max_images_per_round": 0}}, "approval.max_images_per_round", "greater than 0"),
        ({"approval": {"max_money_per_round": -1}}, "approval.max_money_per_round", "greater than or equal to 0"),
        ({"approval": {"limit": 1}}, "approval.limit", "Known fields are: max_images_per_day, max_images_per_month"),
    ],
)  # fmt: skip
def test_a_mistake_names_file_pool_field_and_remedy(
    folder: Path, change: dict[str, Any], field: str, remedy: str
) -> None:
    path = write(folder, pool_entry(**change))
    message = refusal(path)
    assert message.startswith(f"{path}: pool 'Cats': field '{field}': ")
    assert remedy in message
    assert "\n" not in message
    assert "pydantic" not in message


def test_all_mistakes_are_told_at_once(folder: Path) -> None:
    message = refusal(
        write(folder, pool_entry(source=None, currency="x"), pool_entry(name="Dogs", platform="x"), "text")
    )
    assert [part.split(": field")[0] for part in message.partition(": ")[2].split("\n")] == [
        "pool 'Cats'", "pool 'Cats'", "pool 'Dogs'", "pool number 3: is not a mapping. Write 'name:', 'source:' and so on below one '-'.",
    ]  # fmt: skip


def test_a_pool_without_a_name_is_named_by_its_place(folder: Path) -> None:
    message = refusal(write(folder, pool_entry(), pool_entry(name=None)))
    assert "pool number 2: field 'name': is missing. Write for example 'name: Street cats'." in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "declares no pools. Write a list under 'pools:'"),
        ("pools: []", "declares no pools"),
        ("pools: {name: x}", "declares no pools"),
        ("- name: x", "declares no pools"),
        ("pools: [unclosed", "is not valid YAML"),
        ("pools:\n\t- name: x", "is not valid YAML"),
        ("pools:\n  - name: Cats\n    source: a\n    source: b\n", "is not valid YAML: 'source' stands twice"),
        ("pools: [a]\npools: [b]", "'pools' stands twice"),
        ("pools:\n  - ? [a, b]\n    : c\n", "is not valid YAML: while constructing a mapping"),
        ("pools: [a]\npool: [b]", "'pool' is not known at the top. Only 'pools:' and 'limits:' stand there."),
        ("pools: !!python/object/apply:os.getcwd []", "is not valid YAML"),
    ],
)
def test_a_file_that_is_none(folder: Path, text: str, says: str) -> None:
    path = write(folder, text=text or "\n")
    message = refusal(path)
    assert message.startswith(str(path))
    assert says in message


def test_a_repeated_key_is_located(folder: Path) -> None:
    assert "line 3, column 3" in refusal(write(folder, text="pools:\n- name: Cats\n  name: Dogs\n"))


def test_a_file_that_is_not_text_or_not_there(folder: Path) -> None:
    path = folder / "pools.yaml"
    assert f"{path} cannot be read (No such file or directory). Set ALAAS_POOLS" in refusal(path)
    path.write_bytes(b"pools: \xff\xfe")
    assert f"{path} is not valid YAML" in refusal(path)


def test_two_pools_need_two_names_and_two_keys(folder: Path) -> None:
    same_name = refusal(write(folder, pool_entry(), pool_entry(key="other")))
    assert "pool 'Cats': field 'name': 'Cats' is taken by pool 'Cats'. Give it another name." in same_name
    same_key = refusal(write(folder, pool_entry(name="Café"), pool_entry(name="cafe!")))
    assert "pool 'cafe!': field 'key': 'cafe' is taken by pool 'Café'. Give it another key." in same_key


@pytest.mark.parametrize(
    "spec", ["efficientnet-lite0", "ViT-B-32/openai", "local-dir:/models/mine", "hf-hub:timm/ViT-B-16-SigLIP"]
)
def test_encoders_that_are_known(spec: str) -> None:
    assert pool_settings(encoder=spec).encoder == spec


@pytest.mark.parametrize(
    ("price", "micros"), [(0.1, 100_000), (0.07, 70_000), ("0.000001", 1), (3, 3_000_000), (0.3, 300_000)]
)
def test_prices_are_exact(folder: Path, price: object, micros: int) -> None:
    (pool,) = load_settings(write(folder, pool_entry(price_per_image=price))).pools
    assert pool.price_micros == micros


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Street cats", "street_cats"),
        ("  Cats -- & dogs!  ", "cats_dogs"),
        ("Žluťoučký kůň", "zlutoucky_kun"),
        ("Ｆｕｌｌ width 2", "full_width_2"),
        ("猫 cats", "cats"),
        ("x" * 80, "x" * 40),
        ("a" * 39 + " b", "a" * 39),
    ],
)
def test_names_get_legal_keys(name: str, key: str) -> None:
    assert pool_key(name) == key
    assert pool_settings(name=name).key == key


@pytest.mark.parametrize("name", ["猫の写真", "кошки", "🐈", "___"])
def test_names_without_a_latin_letter_get_keys_of_their_own(name: str) -> None:
    key = pool_key(name)
    assert key == pool_key(name)
    assert key.startswith("pool_")
    assert ROUND_KEY.fullmatch(round_key(key, 1))
    assert key != pool_key(name + name)
    assert pool_settings(name=name).key == key


def test_the_same_name_decomposed_gives_the_same_key() -> None:
    assert pool_key("cafe\u0301") == pool_key("café") == "cafe"
    assert pool_key("\u30ab\u3099") == pool_key("\u30ac")


def test_sources_start_from_the_folder_of_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "elsewhere").mkdir()
    entries = [
        pool_entry(name=f"p{n}", source=s)
        for n, s in enumerate(("cats", "../up", "${ALAAS_HOME}/demo/x", "~/z", "s3://b/p"))
    ]
    path = write(folder, *entries)
    expected = [
        str(folder / "cats"), str(folder.parent / "up"), str(folder / "state/demo/x"), str(Path.home() / "z"), "s3://b/p",
    ]  # fmt: skip
    for place in (folder, folder / "elsewhere", Path("/")):
        monkeypatch.chdir(place)
        assert [pool.source for pool in load_settings(path).pools] == expected


def test_a_home_of_nobody_is_a_plain_folder(folder: Path) -> None:
    (pool,) = load_settings(write(folder, pool_entry(source="~nobody-of-that-name/x"))).pools
    assert pool.source == str(folder / "~nobody-of-that-name/x")


def test_which_file_is_in_force(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout, state, given = folder / "checkout", folder / "state", folder / "given.yaml"
    monkeypatch.setattr(config, "checkout", lambda: checkout)
    checkout.mkdir()
    state.mkdir()
    with pytest.raises(UserError, match=r"There is no pools.yaml \(looked for .*\)\. Set ALAAS_POOLS"):
        pools_path()
    write(checkout, pool_entry())
    assert pools_path() == checkout / "pools.yaml"
    write(state, pool_entry())
    assert pools_path() == state / "pools.yaml"
    for place in (folder, Path("/")):
        monkeypatch.chdir(place)
        assert pools_path() == state / "pools.yaml"
    monkeypatch.setenv("ALAAS_POOLS", str(given))
    assert pools_path() == given
    with pytest.raises(UserError, match=r"given.yaml cannot be read"):
        load_settings()


def test_a_relative_pools_file_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    write(folder, pool_entry())
    monkeypatch.setenv("ALAAS_POOLS", "pools.yaml")
    with pytest.raises(UserError) as caught:
        load_settings()
    assert str(caught.value) == (
        f"ALAAS_POOLS is the relative path 'pools.yaml'. Give an absolute path, for example {folder / 'pools.yaml'}."
    )


def test_each_platform_has_its_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALAAS_SANDBOX_KEY", "avk_other_sandbox")
    for missing in (None, ""):
        if missing is not None:
            monkeypatch.setenv("AVALA_API_KEY", missing)
        with pytest.raises(UserError, match=r"AVALA_API_KEY is not set\. .* nothing was sent"):
            avala_key("avala")
    monkeypatch.setenv("AVALA_API_KEY", "avk_real_canary")
    assert avala_key("avala").get_secret_value() == "avk_real_canary"
    assert "canary" not in repr(avala_key("avala"))
    assert avala_key("sandbox").get_secret_value() == "avk_other_sandbox"
    monkeypatch.delenv("ALAAS_SANDBOX_KEY")
    assert avala_key("sandbox").get_secret_value() == SANDBOX_KEY


def test_manifests_stand_beside_the_file_as_sources_do(folder: Path) -> None:
    path = write(
        folder,
        pool_entry(name="a", manifest="photos/cats.csv"),
        pool_entry(name="b", manifest="${ALAAS_HOME}/cats.JSONL"),
        pool_entry(name="c", manifest=str(folder / "x.parquet")),
        pool_entry(name="d"),
    )
    assert [pool.manifest for pool in load_settings(path).pools] == [
        str(folder / "photos/cats.csv"), str(folder / "state/cats.JSONL"), str(folder / "x.parquet"), None,
    ]  # fmt: skip
    for wrong in ("cats.xlsx", "s3://bucket/cats.csv"):
        message = refusal(write(folder, pool_entry(manifest=wrong)))
        assert "field 'manifest': is no file on this machine that ends in .csv, .parquet or .jsonl" in message
        assert "Write for example 'manifest: photos/cats.csv'." in message
