"""Which addresses are public: a table of our own, because that of `ipaddress` changes between releases of Python.

From the IANA special-purpose address registries (RFC 6890 and its updates), the multicast registries, and the
addresses of cloud metadata and host services that lie in public space. IPv6 is allowed by exception: what is not
global unicast (2000::/3) is refused.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PRIVATE = "private"

_V4 = [
    (IPv4Network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", PRIVATE),
        ("100.64.0.0/10", PRIVATE),  # carrier-grade NAT; some clouds keep metadata or pods here
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "cloud service"),  # Azure's host, in public space
        ("169.254.0.0/16", "link-local"),  # most clouds' metadata
        ("172.16.0.0/12", PRIVATE),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "reserved"),
        ("192.52.193.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", PRIVATE),
        ("192.175.48.0/24", "reserved"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
]

_V6 = [
    (IPv6Network(network), kind)
    for network, kind in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fc00::/7", PRIVATE),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),  # IETF protocols: Teredo, benchmarking, ORCHID
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "reserved"),  # 6to4
        ("2620:4f:8000::/48", "reserved"),
        ("3fff::/20", "documentation"),
    )
]

_GLOBAL_UNICAST = IPv6Network("2000::/3")

_CARRIERS_OF_V4 = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
"""IPv4-mapped addresses and the well-known NAT64 prefix, which is how a cluster without IPv4 reaches the IPv4
internet. The last 32 bits are the address that counts. 6to4 and Teredo carry one too, but nobody needs them."""

_ISATAP = (0x00005EFE, 0x02005EFE)
"""Bits 64 to 96 of an address of any prefix that is delivered to the IPv4 address in its last 32 bits."""


def effective(address: Address) -> Address:
    """The IPv4 address that packets to an IPv4-mapped or NAT64 address end up at; any other address itself."""
    if isinstance(address, IPv6Address) and any(address in network for network in _CARRIERS_OF_V4):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def special_kind(address: Address) -> str | None:
    """Why an address is not public, such as "loopback"; None for a public unicast address."""
    address = effective(address)
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _V4 if address in network), None)
    for network, kind in _V6:
        if address in network:
            return kind
    if address not in _GLOBAL_UNICAST or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return "reserved"
    return None


def parse_network(text: str) -> Network:
    """A network from ``10.0.0.0/8`` or a single address; ValueError for anything else."""
    return ip_network(text, strict=True)
