"""No address that Python knows not to be public passes, in whichever form it is written."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from searchmesh.fetch.addresses import _V4, special_kind

_NAT64 = IPv6Network("64:ff9b::/96")

v4 = st.one_of(
    st.integers(0, 2**32 - 1),
    st.sampled_from([network for network, _ in _V4]).flatmap(
        lambda network: st.integers(int(network.network_address) - 1, int(network.broadcast_address) + 1)
    ),
).map(lambda value: IPv4Address(value % 2**32))

v6 = st.one_of(
    st.integers(0, 2**128 - 1),
    st.tuples(
        st.sampled_from(["2001::", "2001:db8::", "2002::", "fc00::", "fe80::", "ff00::", "::", "64:ff9b::"]), v4
    ).map(lambda parts: int(IPv6Address(parts[0])) + int(parts[1])),
).map(IPv6Address)


@given(v4)
def test_what_is_not_global_ipv4_is_refused(address: IPv4Address) -> None:
    if not address.is_global or address.is_multicast or address in IPv4Network("100.64.0.0/10"):
        assert special_kind(address) is not None


@given(v6)
def test_what_is_not_global_ipv6_is_refused(address: IPv6Address) -> None:
    carried = address.ipv4_mapped is not None or address in _NAT64
    if not carried and (not address.is_global or address.is_multicast or address.is_site_local):
        assert special_kind(address) is not None


@given(v4)
def test_an_address_inside_another_counts_as_itself_or_is_refused(address: IPv4Address) -> None:
    bits = int(address)
    kind = special_kind(address)
    assert special_kind(IPv6Address(0xFFFF << 32 | bits)) == kind
    assert special_kind(IPv6Address(0x64FF9B << 96 | bits)) == kind
    for other in (bits, 0x2002 << 112 | bits << 80, 0x20010000 << 96 | bits, 0x64FF9B0001 << 80 | bits):
        assert special_kind(IPv6Address(other)) is not None
