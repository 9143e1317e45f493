"""The allow-list, the ports and the settings of fetching."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from pydantic import ValidationError

from searchmesh.fetch import FetchSettings
from searchmesh.fetch.addresses import special_kind
from searchmesh.fetch.policy import Allowed, Policy
from searchmesh.fetch.problems import FetchProblem

PUBLIC = "93.184.216.34"


def _may(policy: Policy, host: str, address: str, port: int = 443) -> bool:
    try:
        policy.check_addresses(host, port, [ip_address(address)])
    except FetchProblem:
        return False
    return True


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        (PUBLIC, None),
        ("11.0.0.0", None),
        ("172.32.0.0", None),
        ("100.128.0.0", None),
        ("223.255.255.255", None),
        ("2606:2800:220:1::1", None),
        ("64:ff9b::5db8:d822", None),
        ("::ffff:93.184.216.34", None),
        ("172.15.255.255", None),
        ("10.0.0.1", "private"),
        ("100.64.0.1", "private"),
        ("fdff::1", "private"),
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("169.254.169.254", "link-local"),
        ("fe80::1", "link-local"),
        ("168.63.129.16", "cloud service"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("198.19.255.255", "benchmarking"),
        ("203.0.113.1", "documentation"),
        ("2001:db8::1", "documentation"),
        ("224.0.0.1", "multicast"),
        ("ff0e::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("2001::1", "reserved"),
        ("2002:5db8:d822::1", "reserved"),
        ("::5db8:d822", "reserved"),
        ("64:ff9b:1::5db8:d822", "reserved"),
        ("4000::1", "reserved"),
    ],
)
def test_kinds_of_addresses(address: str, kind: str | None) -> None:
    assert special_kind(ip_address(address)) == kind


def test_without_a_list_public_addresses_on_the_usual_ports_may_be_fetched() -> None:
    policy = Policy()
    assert _may(policy, "site.example", PUBLIC, 80)
    assert _may(policy, "site.example", PUBLIC, 443)
    assert not _may(policy, "site.example", PUBLIC, 8080)
    assert not _may(policy, "site.example", "10.0.0.1")


def test_every_address_of_a_name_must_be_allowed() -> None:
    with pytest.raises(FetchProblem):
        Policy().check_addresses("mixed.example", 443, [ip_address(PUBLIC), ip_address("10.0.0.1")])


def test_a_listed_name_covers_itself_a_starred_one_what_is_below_it() -> None:
    policy = Policy(["wiki.example", "*.corp.example"])
    assert _may(policy, "wiki.example", "10.0.0.1")
    assert _may(policy, "wiki.example.", "10.0.0.1")
    assert _may(policy, "a.b.corp.example", "fd00::1")
    for host in ("corp.example", "evilcorp.example", "notwiki.example", "sub.wiki.example", "wiki.example.evil"):
        assert not _may(policy, host, "10.0.0.1")


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "0.0.0.0", "168.63.129.16"])
def test_a_name_opens_no_way_to_loopback_or_metadata_but_a_network_does(address: str) -> None:
    assert not _may(Policy(["wiki.example"]), "wiki.example", address)
    assert _may(Policy([address]), "wiki.example", address)


def test_an_entry_with_a_port_is_about_that_port_only() -> None:
    policy = Policy(["10.0.0.0/8:8080", "wiki.example:8443", "[fd00::/8]:9000"])
    assert _may(policy, "any.example", "10.1.2.3", 8080)
    assert not _may(policy, "any.example", "10.1.2.3", 443)
    assert _may(policy, "wiki.example", PUBLIC, 8443)
    assert not _may(policy, "any.example", PUBLIC, 8443)
    assert _may(policy, "any.example", "fd12::1", 9000)


def test_a_network_of_ipv4_covers_the_mapped_form_too() -> None:
    assert _may(Policy(["10.0.0.0/8"]), "any.example", "::ffff:10.1.2.3")


def test_only_what_is_listed_if_so_told() -> None:
    policy = Policy(["wiki.example", "93.184.216.0/24"], only_allowed=True)
    assert _may(policy, "wiki.example", "11.0.0.1")
    assert _may(policy, "any.example", PUBLIC)
    assert not _may(policy, "any.example", "11.0.0.1")


def test_what_is_denied_is_denied_whatever_is_allowed() -> None:
    policy = Policy(["wiki.example", "10.0.0.0/8"], ["10.0.0.0/24", "93.184.216.34"])
    assert not _may(policy, "wiki.example", "10.0.0.7")
    assert not _may(policy, "wiki.example", "::ffff:10.0.0.7")
    assert not _may(policy, "any.example", PUBLIC)
    assert _may(policy, "any.example", "10.0.1.7")


@pytest.mark.parametrize(
    "entry",
    ["", "exa mple", "http://wiki.example", "10.0.0.1/8", "wiki.example:0", "wiki.example:99999", "0x7f.1", "*"],
)
def test_an_entry_that_is_nothing_of_the_kind_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Allowed.parse(entry)


def test_settings_come_from_the_environment_and_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCHMESH_FETCH_ALLOW", "wiki.example, 10.0.0.0/8:8080")
    monkeypatch.setenv("SEARCHMESH_FETCH_DENY", "")
    settings = FetchSettings()
    assert settings.fetch_allow == ("wiki.example", "10.0.0.0/8:8080")
    assert settings.fetch_deny == ()
    for name in ("FETCH_ALLOW", "FETCH_DENY"):
        with monkeypatch.context() as patched:
            patched.setenv(f"SEARCHMESH_{name}", "not/valid")
            with pytest.raises(ValidationError):
                FetchSettings()
