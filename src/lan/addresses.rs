//! Which addresses colleagues can type: the machine's own, the one on the default route first.
//!
//! Owns the choice of network adapters; the only place that asks the system for them. Does not know what is served.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use if_addrs::Interface;

use crate::config::limits::LAN_ADDRESSES_MAX;

/// An address under which colleagues reach this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanAddress {
    /// The address.
    pub ip: IpAddr,
    /// The adapter's name, as the system says it.
    pub interface: String,
    /// Whether this is the one to show first.
    pub main: bool,
}

/// The addresses to show, the main one first. Loopback, IPv6 link-local (browsers cannot open one with its zone) and
/// adapters that lead to no office (containers, virtual machines, tunnels) are left out.
#[must_use]
pub fn addresses() -> Vec<LanAddress> {
    let found = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "the network adapters could not be read");
        Vec::new()
    });
    let usable = found
        .into_iter()
        .filter(leads_to_the_office)
        .filter(|adapter| !is_local_only(adapter.ip()))
        .map(|adapter| (adapter.ip(), adapter.name))
        .collect();
    in_order(usable, default_route())
}

/// Whether an adapter leads to colleagues.
pub(super) fn leads_to_the_office(adapter: &Interface) -> bool {
    !adapter.is_loopback() && !adapter.is_p2p() && !is_virtual(&adapter.name)
}

/// The main address first, then what colleagues most likely share.
fn in_order(mut usable: Vec<(IpAddr, String)>, default_route: Option<IpAddr>) -> Vec<LanAddress> {
    usable.sort_by_key(|(ip, interface)| {
        let likely = match ip {
            _ if Some(*ip) == default_route => 0,
            IpAddr::V4(v4) if v4.is_private() => 1,
            IpAddr::V4(v4) if !v4.is_link_local() => 2,
            IpAddr::V6(_) => 3,
            IpAddr::V4(_) => 4,
        };
        (likely, interface.clone(), *ip)
    });
    usable.dedup();
    usable.truncate(LAN_ADDRESSES_MAX);
    usable
        .into_iter()
        .enumerate()
        .map(|(place, (ip, interface))| LanAddress { ip, interface, main: place == 0 })
        .collect()
}

/// The address that the system would send from. Connecting a UDP socket only asks the routing table: nothing is sent.
fn default_route() -> Option<IpAddr> {
    // Addresses set aside for documentation (RFC 5737, RFC 3849): nobody has them, so the default route leads there.
    let questions: [(IpAddr, IpAddr); 2] = [
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    ];
    questions.into_iter().find_map(|(own, theirs)| {
        let socket = UdpSocket::bind((own, 0)).ok()?;
        socket.connect((theirs, 9)).ok()?;
        let ip = socket.local_addr().ok()?.ip();
        (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
    })
}

fn is_local_only(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_unicast_link_local(),
    }
}

/// Whether an adapter belongs to containers, virtual machines or a tunnel, by the names these give.
fn is_virtual(name: &str) -> bool {
    // Linux and macOS: a short word and a number. `br0` may be an office's real bridge, `br-3f2a…` is a container's.
    const STARTS: &[&str] = &[
        "anpi",
        "ap1",
        "awdl",
        "bridge1",
        "br-",
        "cali",
        "cni",
        "docker",
        "dummy",
        "flannel",
        "gif",
        "incusbr",
        "ipsec",
        "llw",
        "lxc",
        "lxdbr",
        "nordlynx",
        "podman",
        "ppp",
        "stf",
        "tailscale",
        "tap",
        "tun",
        "utun",
        "vboxnet",
        "veth",
        "virbr",
        "vmnet",
        "vnet",
        "wg",
        "xfrm",
        "zt",
    ];
    // Windows: sentences. `vEthernet (External)` may be the office's own switch, the named ones are not.
    const PARTS: &[&str] = &[
        "vethernet (wsl",
        "vethernet (default switch",
        "vethernet (docker",
        "hyper-v firewall",
        "loopback",
        "openvpn",
        "tailscale",
        "teredo",
        "virtualbox",
        "vmware",
        "vpn",
        "wireguard",
        "zerotier",
    ];
    let name = name.to_lowercase();
    // `vethernet` begins with `veth`; its own list decides.
    let starts = !name.starts_with("vethernet") && STARTS.iter().any(|start| name.starts_with(start));
    starts || PARTS.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ip: &str, interface: &str) -> (IpAddr, String) {
        (ip.parse().unwrap(), interface.to_owned())
    }

    #[test]
    fn the_address_on_the_default_route_is_shown_first() {
        let all = vec![at("fd00::5", "eth0"), at("10.0.0.7", "eth0"), at("192.168.1.20", "wlan0")];
        let shown = in_order(all.clone(), Some("192.168.1.20".parse().unwrap()));
        assert_eq!(shown[0].ip.to_string(), "192.168.1.20");
        assert_eq!(shown.iter().filter(|one| one.main).count(), 1);
        assert!(shown[0].main);
        // The default route may lead through an adapter that is left out, a tunnel for instance.
        let shown = in_order(all, Some("10.8.0.1".parse().unwrap()));
        assert_eq!(shown[0].ip.to_string(), "10.0.0.7");
        assert!(shown[0].main);
        assert_eq!(in_order(Vec::new(), None), []);
    }

    #[test]
    fn adapters_of_containers_machines_and_tunnels_are_left_out() {
        for name in [
            "docker0",
            "br-3f2a91",
            "veth12ab",
            "virbr0",
            "utun3",
            "wg0",
            "vEthernet (WSL (Hyper-V firewall))",
            "VirtualBox Host-Only Network",
            "tun0",
            "tailscale0",
            "bridge100",
        ] {
            assert!(is_virtual(name), "{name}");
        }
        for name in [
            "eth0",
            "enp3s0",
            "wlan0",
            "wlp2s0",
            "en0",
            "br0",
            "bond0",
            "Ethernet",
            "Wi-Fi",
            "vEthernet (External)",
        ] {
            assert!(!is_virtual(name), "{name}");
        }
    }

    #[test]
    fn no_address_is_shown_that_a_browser_elsewhere_cannot_open() {
        for ip in ["127.0.0.1", "::1", "fe80::1", "0.0.0.0"] {
            assert!(is_local_only(ip.parse().unwrap()), "{ip}");
        }
        for address in addresses() {
            assert!(!is_local_only(address.ip), "{address:?}");
        }
    }
}
