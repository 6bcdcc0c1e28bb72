//! Where connections may lead: this machine and its link are reached only where the configuration itself names them
//! (attack E12), so that no name of the outside world, and no answer of the DNS, leads inside.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// For one address to answer.
const CONNECT: Duration = Duration::from_secs(10);

/// Whether an address is this machine's, its link's, or no single other machine's at all.
pub fn is_inner(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            // 0.0.0.0/8 leads to this machine on Linux.
            v4.is_loopback() || v4.is_link_local() || v4.octets()[0] == 0 || v4.is_multicast() || v4.is_broadcast()
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_inner(IpAddr::V4(v4)),
            None => v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local(),
        },
    }
}

/// Whether a host of the configuration names an address itself, so that its writer knows where it leads.
pub fn names_an_address(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    bare.parse::<IpAddr>().is_ok() || bare.eq_ignore_ascii_case("localhost")
}

/// Whether a host of the configuration is this machine.
pub fn names_this_machine(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Connects to a host of the configuration.
pub async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let bare = host.trim_matches(['[', ']']);
    let addresses =
        timeout(CONNECT, lookup_host((bare, port))).await.map_err(|_| late("its name was not looked up"))??;
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{bare} has no address"));
    for address in addresses.take(ADDRESSES_MAX) {
        if is_inner(address.ip()) && !names_an_address(host) {
            let why = format!("{bare} leads to {}, inside: name that address in the configuration", address.ip());
            last = io::Error::new(io::ErrorKind::PermissionDenied, why);
            continue;
        }
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = late("no connection"),
        }
    }
    Err(last)
}

fn late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} within {} s", CONNECT.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e12_what_leads_inside_is_known_in_every_form() {
        for inner in [
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "0.0.0.0",
            "::1",
            "::",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.1.1",
            "255.255.255.255",
            "224.0.0.1",
            "ff02::1",
        ] {
            assert!(is_inner(inner.parse().unwrap()), "{inner}");
        }
        for outer in ["192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1"] {
            assert!(!is_inner(outer.parse().unwrap()), "{outer}");
        }
        assert!(names_an_address("127.0.0.1") && names_an_address("[::1]") && names_an_address("localhost"));
        assert!(!names_an_address("sms.example") && !names_an_address("localhost.example"));
    }
}
