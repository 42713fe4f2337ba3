"""`pools.yaml` and the environment, read into checked settings.

Every mistake is told in one sentence that names the file, the pool, the field and the remedy.
"""

import difflib
import hashlib
import os
import re
import unicodedata
from collections.abc import Hashable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from alaas_pipeline.errors import UserError
from alaas_pipeline.home import absolute_from_env, checkout, get_home
from alaas_pipeline.money import to_micros

SANDBOX_KEY = "avk_sandbox"
AVALA_BASE_URL = "https://api.avala.ai/api/v1"
MAX_KEY = 40

# Strict, since YAML's `yes` would count as 1.
Positive = Annotated[int, Field(gt=0, strict=True)]
Uid = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class AvalaTarget(_Strict):
    """Whose account on Avala a pool is labelled in, and the project that its rounds are cloned from."""

    owner: str = Field(min_length=1, examples=["my-team"])
    template: Uid = Field(examples=["770a9600-a40d-43f6-8938-668877660000"])
    base_url: str | None = Field(default=None, examples=[AVALA_BASE_URL])
    organization_uid: Uid | None = Field(default=None, examples=["880a9600-a40d-43f6-8938-668877660000"])


Money = Annotated[Decimal, Field(ge=0, max_digits=15, decimal_places=6)]


class Limits(_Strict):
    """What the policy `auto` may accept in a period, counting all that was accepted in it, by persons too. Days and months are UTC's."""

    max_images_per_day: Positive | None = Field(default=None, examples=[500])
    max_images_per_month: Positive | None = Field(default=None, examples=[5000])
    max_images_total: Positive | None = Field(default=None, examples=[20000])
    max_money_per_day: Money | None = Field(default=None, examples=["50.00"])
    max_money_per_month: Money | None = Field(default=None, examples=["500.00"])
    max_money_total: Money | None = Field(default=None, examples=["2000.00"])


class SharedLimits(Limits):
    """The same over all pools together, in one currency."""

    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$", examples=["USD"])


class Approval(Limits):
    """Who may say yes to a round's quote: a person, or this policy within its limits."""

    policy: Literal["manual", "auto"] = Field(default="manual", examples=["manual"])
    max_images_per_round: Positive | None = Field(default=None, examples=[100])
    max_money_per_round: Money | None = Field(default=None, examples=["25.00"])

    @model_validator(mode="after")
    def _auto_has_limits(self) -> "Approval":
        if self.policy == "auto" and (self.max_images_per_round is None or self.max_money_per_round is None):
            raise ValueError("policy 'auto' needs max_images_per_round and max_money_per_round")
        return self


class PoolAims(_Strict):
    """What picks have to keep to beside the strategy; `must` and `never` are files with the path of an image in each line."""

    must: str | None = Field(default=None, examples=["must.txt"])
    never: str | None = Field(default=None, examples=["never.txt"])
    caps: dict[str, Positive] = Field(default={}, examples=["{group: 5}"])
    min_distance: float = Field(default=0.0, ge=0, le=2, examples=[0.2])
    skip_near_duplicates: bool = Field(default=False, strict=True, examples=["true"])


class PoolSettings(_Strict):
    """One pool as `pools.yaml` declares it."""

    name: str = Field(min_length=1, max_length=80, examples=["Street cats"])
    key: str = Field(default="", max_length=MAX_KEY, pattern=r"^[a-z0-9_]*$", examples=["street_cats"])
    source: str = Field(min_length=1, examples=["photos/cats"])
    manifest: str | None = Field(default=None, examples=["photos/cats.csv"])
    encoder: str = Field(default="efficientnet-lite0", examples=["ViT-B-32/laion2b_s34b_b79k"])
    strategy: Literal["coverage", "explore", "adaptive"] = Field(default="adaptive", examples=["adaptive"])
    aims: PoolAims = PoolAims()
    images_per_round: Positive = Field(examples=[50])
    tariff: Literal["per-candidate", "pool-percent"] = Field(default="per-candidate", examples=["per-candidate"])
    credit_grant: int = Field(default=10_000, ge=0, strict=True, examples=[10_000])
    platform: Literal["sandbox", "avala"] = Field(examples=["avala"])
    avala: AvalaTarget
    approval: Approval = Approval()
    price_per_image: Money = Field(examples=["0.08"])
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$", examples=["USD"])
    classes: tuple[Annotated[str, Field(min_length=1)], ...] = Field(default=(), examples=["[cat, dog]"])
    min_acceptance_rate: float | None = Field(default=None, ge=0, le=1, examples=[0.8])
    control_share: float = Field(default=0.0, ge=0, lt=1, examples=[0.1])

    @field_validator("price_per_image", mode="before")
    @classmethod
    def _exact(cls, value: object) -> object:
        return str(value) if isinstance(value, float) else value

    @field_validator("manifest")
    @classmethod
    def _known_manifest(cls, value: str | None) -> str | None:
        if value is None or ("://" not in value and value.lower().endswith((".csv", ".parquet", ".jsonl", ".ndjson"))):
            return value
        raise ValueError("is no file on this machine that ends in .csv, .parquet or .jsonl")

    @field_validator("encoder")
    @classmethod
    def _known_encoder(cls, value: str) -> str:
        if (
            value == "efficientnet-lite0"
            or value.startswith(("local-dir:", "hf-hub:"))
            or re.fullmatch(r"[\w.-]+/[\w.-]+", value)
        ):
            return value
        raise ValueError(
            "is not an encoder; use efficientnet-lite0, NAME/PRETRAINED of open_clip, local-dir:PATH or hf-hub:ORG/NAME"
        )

    @model_validator(mode="before")
    @classmethod
    def _fill_key(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("key") and isinstance(data.get("name"), str):
            return {**data, "key": pool_key(data["name"])}
        return data

    @property
    def price_micros(self) -> int:
        """Price of labelling one image, in millionths of the currency."""
        return to_micros(self.price_per_image)


@dataclass(frozen=True)
class Settings:
    """The pools of one `pools.yaml`."""

    path: Path
    pools: tuple[PoolSettings, ...]
    limits: SharedLimits = field(default_factory=SharedLimits)

    def pool(self, key: str) -> PoolSettings:
        """Return a pool by key or name.

        Raises:
            UserError: there is none; the message lists the pools there are.
        """
        for pool in self.pools:
            if key in (pool.key, pool.name):
                return pool
        known = ", ".join(pool.key for pool in self.pools)
        raise UserError(f"There is no pool '{key}' in {self.path}. Its pools are: {known}.")


def pool_key(name: str) -> str:
    """Derive a pool's key (`[a-z0-9_]+`, legal everywhere) from its name; the same name gives the same key."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    key = re.sub(r"[^a-z0-9]+", "_", ascii_name).strip("_")[:MAX_KEY].strip("_")
    return key or "pool_" + hashlib.sha256(unicodedata.normalize("NFC", name).encode()).hexdigest()[:8]


def pools_path() -> Path:
    """Return the `pools.yaml` in force: `ALAAS_POOLS`, else in `ALAAS_HOME`, else in the checkout.

    Raises:
        UserError: none of these exists.
    """
    given = absolute_from_env("ALAAS_POOLS")
    if given:
        return given
    root = checkout()
    candidates = [get_home().root / "pools.yaml", *([root / "pools.yaml"] if root else [])]
    for path in candidates:
        if path.is_file():
            return path
    raise UserError(
        f"There is no pools.yaml (looked for {', '.join(map(str, candidates))}). Set ALAAS_POOLS to its absolute path."
    )


def load_settings(path: Path | None = None) -> Settings:
    """Read and check `pools.yaml`.

    Raises:
        UserError: the file is missing, is not YAML, declares no pool, or holds mistakes; each is named with its remedy.
    """
    path = path or pools_path()
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 (a SafeLoader)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}). Set ALAAS_POOLS to the pools.yaml you mean."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict) or not isinstance(document.get("pools"), list) or not document["pools"]:
        raise UserError(f"{path} declares no pools. Write a list under 'pools:', one entry for each pool.")
    unknown = sorted(set(map(str, document)) - {"pools", "limits"})
    if unknown:
        raise UserError(f"{path}: '{unknown[0]}' is not known at the top. Only 'pools:' and 'limits:' stand there.")
    pools, mistakes = [], []
    limits = SharedLimits()
    try:
        limits = SharedLimits.model_validate(document.get("limits") or {})
    except ValidationError as error:
        mistakes += [f"limits: {_explain(problem, SharedLimits)}" for problem in error.errors()]
    for number, entry in enumerate(document["pools"], start=1):
        label = f"pool '{entry['name']}'" if isinstance(entry, dict) and entry.get("name") else f"pool number {number}"
        if not isinstance(entry, dict):
            mistakes.append(f"{label}: is not a mapping. Write 'name:', 'source:' and so on below one '-'.")
            continue
        try:
            pools.append(_resolve_paths(PoolSettings.model_validate(entry), path))
        except ValidationError as error:
            mistakes += [f"{label}: {_explain(problem)}" for problem in error.errors()]
    mistakes += _clashes(pools)
    if mistakes:
        raise UserError(f"{path}: " + "\n".join(mistakes))
    return Settings(path, tuple(pools), limits)


def avala_key(platform: str) -> SecretStr:
    """Return the API key for a platform; the sandbox never sees the real one, nor the other way round.

    Raises:
        UserError: the pool is on Avala and `AVALA_API_KEY` is not set.
    """
    if platform == "sandbox":
        return SecretStr(os.environ.get("ALAAS_SANDBOX_KEY") or SANDBOX_KEY)
    key = os.environ.get("AVALA_API_KEY")
    if not key:
        raise UserError(
            "AVALA_API_KEY is not set. Put your Avala key into the environment or into .env; nothing was sent."
        )
    return SecretStr(key)


class _UniqueKeys(yaml.SafeLoader):
    """YAML that refuses a repeated key: the last one would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]
            if not isinstance(key, Hashable):
                continue  # the super class says so with the line
            if key in seen:
                raise yaml.YAMLError(f"'{key}' stands twice{key_node.start_mark}")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _resolve_paths(pool: PoolSettings, path: Path) -> PoolSettings:
    def resolved(place: str) -> str:
        place = place.replace("${ALAAS_HOME}", str(get_home().root))
        return place if "://" in place else str((path.parent / os.path.expanduser(place)).resolve())

    manifest = pool.manifest and resolved(pool.manifest)
    lists = {name: place and resolved(place) for name, place in (("must", pool.aims.must), ("never", pool.aims.never))}
    aims = pool.aims.model_copy(update=lists)
    return pool.model_copy(update={"source": resolved(pool.source), "manifest": manifest, "aims": aims})


def _clashes(pools: list[PoolSettings]) -> list[str]:
    mistakes = []
    for name in ("name", "key"):
        seen: dict[str, str] = {}
        for pool in pools:
            value = getattr(pool, name)
            if value in seen:
                mistakes.append(
                    f"pool '{pool.name}': field '{name}': '{value}' is taken by pool '{seen[value]}'. Give it another {name}."
                )
            seen[value] = pool.name
    return mistakes


def _explain(problem: Any, model: type[BaseModel] = PoolSettings) -> str:
    location = ".".join(str(part) for part in problem["loc"]) or "approval"
    for part in problem["loc"][:-1]:
        annotation = model.model_fields[str(part)].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    field = str(problem["loc"][-1]) if problem["loc"] else ""
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(field, model.model_fields, n=1)
        hint = f"Did you mean '{close[0]}'?" if close else f"Known fields are: {', '.join(model.model_fields)}."
        return f"field '{location}': is not known. {hint}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        message = "is missing"
    elif "input" in problem and not isinstance(problem["input"], dict):
        message += f", got {problem['input']!r}"
    known = model.model_fields.get(field)
    examples = known.examples if known else None
    remedy = f" Write for example '{field}: {examples[0]}'." if examples else ""
    return f"field '{location}': {message}.{remedy}"
