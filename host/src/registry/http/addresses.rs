//! Which addresses a request may reach: those of the public Internet, and the private ones that the tenant was granted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What is not of the public Internet, or not one host's: the special-purpose addresses that RFC 6890 and IANA's registries
/// after it list as not globally reachable, what embeds other addresses in a way that a gateway may undo, and multicast.
const SPECIAL: [&str; 27] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    // A cloud's own services, on an address that is otherwise public.
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/3",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "4000::/3",
    "6000::/3",
    "8000::/3",
    "a000::/3",
    "c000::/3",
    "e000::/3",
];

static SPECIAL_RANGES: LazyLock<Vec<IpNet>> =
    LazyLock::new(|| SPECIAL.iter().map(|range| range.parse().expect("a range of the table")).collect());

/// Ranges of private addresses that an operator lets a tenant's jobs reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<IpNet>", into = "Vec<IpNet>")]
pub struct Ranges(Option<Arc<[IpNet]>>);

impl From<Vec<IpNet>> for Ranges {
    fn from(ranges: Vec<IpNet>) -> Self {
        Ranges((!ranges.is_empty()).then(|| ranges.into()))
    }
}

impl From<Ranges> for Vec<IpNet> {
    fn from(ranges: Ranges) -> Self {
        ranges.iter().collect()
    }
}

impl Ranges {
    /// None of them.
    pub const NONE: Ranges = Ranges(None);

    /// One of them, as people write it: a range, or one address. None where it is neither.
    pub fn read(text: &str) -> Option<IpNet> {
        text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.0.iter().flat_map(|ranges| ranges.iter().copied())
    }

    /// True where there are none.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a request may be sent to this address, under whatever name it was found. An IPv4 address in IPv6 is looked at as
    /// what it stands for.
    pub fn allow(&self, address: IpAddr) -> bool {
        let address = plain(address);
        self.iter().any(|range| range.contains(&address))
            || !SPECIAL_RANGES.iter().any(|range| range.contains(&address))
    }
}

/// The IPv4 address that stands in an IPv6 one: mapped (`::ffff:a.b.c.d`), or for NAT64 (`64:ff9b::a.b.c.d`, RFC 6052).
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    match (v6.to_ipv4_mapped(), v6.segments()) {
        (Some(v4), _) => IpAddr::V4(v4),
        (None, [0x64, 0xff9b, 0, 0, 0, 0, high, low]) => {
            IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        (None, _) => IpAddr::V6(Ipv6Addr::from(v6.octets())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(ranges: &[&str], address: &str) -> bool {
        let ranges = Ranges::from(ranges.iter().map(|range| range.parse().unwrap()).collect::<Vec<IpNet>>());
        ranges.allow(address.parse().unwrap())
    }

    #[test]
    fn addresses_of_the_public_internet_are_reached_and_no_others() {
        for public in [
            "1.1.1.1",
            "93.184.215.14",
            "172.15.0.1",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "64:ff9b::1.1.1.1",
        ] {
            assert!(allows(&[], public), "{public}");
        }
        for private in [
            "127.0.0.1",
            "127.8.8.8",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.100.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2002:7f00:1::",
            "2001::1",
            "fec0::1",
        ] {
            assert!(!allows(&[], private), "{private}");
        }
    }

    #[test]
    fn a_granted_range_is_reached_however_its_addresses_are_written() {
        let granted = ["10.0.0.0/8", "fd00::/8"];
        for address in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd12::1"] {
            assert!(allows(&granted, address), "{address}");
        }
        for address in ["127.0.0.1", "192.168.0.1", "fc00::1"] {
            assert!(!allows(&granted, address), "{address}");
        }
    }
}
