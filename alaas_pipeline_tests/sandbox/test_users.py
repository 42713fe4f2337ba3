import uuid

from alaas_pipeline_tests.sandbox.api import Api
from alaas_pipeline_tests.sandbox.conftest import Serve


def test_who_am_i(api: Api) -> None:
    me = api.get("/users/me/").json()
    assert me.keys() == {"uid", "username", "email"}
    assert me["username"] == "sandbox-team"
    assert str(uuid.UUID(me["uid"])) == me["uid"]
    assert api.get(f"/users/@{me['email']}/").json()["uid"] == me["uid"]
    assert api.get("/users/@nobody@x.invalid/").status_code == 404


def test_the_uid_tells_one_sandbox_from_another(api: Api, serve: Serve) -> None:
    other = serve(username="acme").get("/users/me/").json()
    assert other["username"] == "acme"
    assert other["uid"] != api.get("/users/me/").json()["uid"]


def test_organizations(api: Api) -> None:
    page = api.get("/organizations/").json()
    assert page.keys() == {"count", "next", "previous", "results"}
    organization = page["results"][0]
    assert organization.items() >= {"slug": "sandbox-team-org", "plan": "PRO", "role": "owner"}.items()
    url = f"/organizations/{organization['slug']}/"
    assert api.get(url).json() == organization
    members = api.get(f"{url}members/").json()
    assert members["count"] == 1
    assert members["results"][0].keys() == {"user_uid", "username", "email", "full_name", "picture", "role"}
    basic = api.as_key("avk_basic", plan="BASIC")
    assert basic.get(url).json()["plan"] == "BASIC"
    stranger = api.as_key("avk_stranger", username="stranger")
    assert stranger.get(url).status_code == 404
    assert stranger.get(f"{url}members/").status_code == 404
    scoped = api.as_key("avk_scoped", scopes=[])
    assert [scoped.get(path).status_code for path in ("/organizations/", url, f"{url}members/")] == [403] * 3


def test_registering_keys(api: Api) -> None:
    assert api.admin("keys", {"key": "avk_sandbox"}).status_code == 400
    assert api.admin("keys", {"key": "with space"}).status_code == 400
    assert api.admin("keys", {"key": "k", "plan": "GOLD"}).status_code == 400
    clash = {"key": "k", "username": "other", "email": "sandbox-team@sandbox.invalid"}
    assert api.admin("keys", clash).json().keys() == {"email"}
    made = api.admin("keys", {"key": "k", "username": "robo", "email": "robo@acme.com"})
    assert made.status_code == 201
    assert api.without_key("k").get("/users/me/").json()["email"] == "robo@acme.com"


def test_health(api: Api) -> None:
    assert api.admin("health").json() == {"status": "ok"}
