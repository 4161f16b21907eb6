//! Where webhooks may go: the web address as written, and every network address that its name resolves to.
//!
//! Whoever can edit a receiver can make this host connect somewhere. Metadata services and internal consoles trust
//! whoever reaches them, so loopback, link-local and private addresses are refused unless the operator allows them, and
//! the check is made on the very addresses that are connected to: a name that changes between two look-ups gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// What an operator has allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Plain `http`.
    pub allow_http: bool,
    /// Addresses that are not on the public internet.
    pub allow_private: bool,
}

/// What is wrong with a web address. Never shows its path or query, where many services put their key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is not one.
    #[error("is not a web address; write it like https://hooks.example.com/path")]
    Syntax,
    /// It is not protected.
    #[error("{0} is not https; set allow_http to send alerts in clear text")]
    NotHttps(String),
    /// It is neither `https` nor `http`.
    #[error("`{0}` is not a scheme that webhooks can use; use https")]
    Scheme(String),
    /// It holds a user or a password.
    #[error("holds a user name or password; put the key into secret_file")]
    Login,
    /// It names an address that is refused.
    #[error("{0} is a {1} address; set allow_private to send there")]
    Refused(IpAddr, &'static str),
}

/// Checks a web address as written. Asks no name server.
pub fn check(url: &str, policy: Policy) -> Result<Uri, UrlError> {
    let uri: Uri = url.parse().ok().ok_or(UrlError::Syntax)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(UrlError::Syntax) };
    if authority.as_str().contains('@') {
        return Err(UrlError::Login);
    }
    match scheme {
        "https" => {}
        "http" if policy.allow_http => {}
        "http" => return Err(UrlError::NotHttps(shown(url))),
        other => return Err(UrlError::Scheme(other.chars().take(20).collect())),
    }
    let host = authority.host();
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let literal = bracketed.unwrap_or(host);
    // A zone, say, which some name services would understand.
    if bracketed.is_some_and(|v6| v6.parse::<Ipv6Addr>().is_err()) {
        return Err(UrlError::Syntax);
    }
    if host.is_empty() || authority.port_u16() == Some(0) || authority.as_str().ends_with(':') {
        return Err(UrlError::Syntax);
    }
    match literal.parse::<IpAddr>().ok().and_then(|ip| refused(ip).map(|why| (ip, why))) {
        Some((ip, why)) if !policy.allow_private => Err(UrlError::Refused(ip, why)),
        _ => Ok(uri),
    }
}

/// A web address without what may be secret: scheme, host, port.
pub fn shown(url: &str) -> String {
    let Ok(uri) = url.parse::<Uri>() else { return "an unreadable address".to_owned() };
    let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return "an unreadable address".to_owned() };
    uri.port_u16().map_or_else(|| format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}"))
}

/// Why an address is not on the public internet, if it is not.
pub fn refused(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(v4) => refused_v4(v4),
        IpAddr::V6(v6) => embedded(v6).map_or_else(|| refused_v6(v6), refused_v4),
    }
}

/// The special-purpose registry of IANA (RFC 6890 and its successors), as far as it is not globally reachable.
fn refused_v4(ip: Ipv4Addr) -> Option<&'static str> {
    match ip.octets() {
        [127, ..] => Some("loopback"),
        [169, 254, ..] => Some("link-local"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Some("private"),
        [0, ..] => Some("unspecified"),
        [224..=239, ..] => Some("multicast"),
        [240..=255, ..] => Some("reserved"),
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18..=19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
            Some("reserved")
        }
        _ => None,
    }
}

fn refused_v6(ip: Ipv6Addr) -> Option<&'static str> {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Some("private"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        // Only 2000::/3 is given out; inside it are Teredo, benchmarking, ORCHID and documentation.
        [0x2001, 0 | 2 | 0x10..=0x2f | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("reserved"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("reserved"),
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, translated (NAT64), 6to4.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0xffff | 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

/// An address that was refused after the name was resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name resolves to {0}, a {1} address; set allow_private to send there")]
pub struct RefusedAddress(IpAddr, &'static str);

/// Looks names up and refuses what the policy does not allow. What it returns is what is connected to.
#[derive(Debug)]
pub(super) struct GuardedResolver<R = DefaultResolver> {
    policy: Policy,
    inner: R,
}

impl GuardedResolver {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, inner: DefaultResolver::default() }
    }
}

impl<R: Resolver> Resolver for GuardedResolver<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        match first_refused(&found, self.policy) {
            Some(refusal) => Err(ureq::Error::Other(Box::new(refusal))),
            None => Ok(found),
        }
    }
}

/// One refused address refuses them all: a name that answers with a public and a private address is up to something.
fn first_refused(found: &[SocketAddr], policy: Policy) -> Option<RefusedAddress> {
    if policy.allow_private {
        return None;
    }
    found.iter().find_map(|addr| refused(addr.ip()).map(|why| RefusedAddress(addr.ip(), why)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use ureq::unversioned::transport::DefaultConnector;

    use super::*;

    #[test]
    fn one_private_address_among_public_ones_refuses_all() {
        let addrs: Vec<SocketAddr> = ["93.184.215.14:443", "10.0.0.7:443"].map(|a| a.parse().unwrap()).to_vec();
        assert_eq!(first_refused(&addrs, Policy::default()).map(|r| r.1), Some("private"));
        assert_eq!(first_refused(&addrs[..1], Policy::default()), None);
        assert_eq!(first_refused(&addrs, Policy { allow_private: true, allow_http: false }), None);
    }

    /// Answers each look-up with the next of these addresses.
    #[derive(Debug)]
    struct Rebinding(Vec<SocketAddr>, AtomicUsize);

    impl Resolver for Rebinding {
        fn resolve(
            &self,
            _: &Uri,
            _: &ureq::config::Config,
            _: NextTimeout,
        ) -> Result<ResolvedSocketAddrs, ureq::Error> {
            let mut found = self.empty();
            found.push(self.0[self.1.fetch_add(1, Ordering::Relaxed)]);
            Ok(found)
        }
    }

    #[test]
    fn a_name_that_changes_between_two_look_ups_gains_nothing() {
        let servers = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let addrs: Vec<SocketAddr> = servers.iter().map(|server| server.local_addr().unwrap()).collect();
        let asked = |addrs: Vec<SocketAddr>, policy: Policy| {
            let resolver = GuardedResolver { policy, inner: Rebinding(addrs, AtomicUsize::new(0)) };
            let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(1))).build();
            let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), resolver);
            agent.get("http://rebinding.example/").call().unwrap_err().to_string()
        };
        let came = |server: &TcpListener| {
            server.set_nonblocking(true).unwrap();
            server.accept().is_ok()
        };
        // What was checked first is refused, whatever would come next.
        let private: SocketAddr = "10.0.0.7:80".parse().unwrap();
        let refusal = asked([&[private], &addrs[..]].concat(), Policy::default());
        assert!(refusal.contains("10.0.0.7, a private address"), "{refusal}");
        assert!(servers.iter().all(|server| !came(server)));
        // What was checked is what is connected to: the second answer is never asked for.
        asked(addrs, Policy { allow_private: true, allow_http: true });
        assert_eq!([0, 1].map(|at| came(&servers[at])), [true, false]);
    }

    #[test]
    fn a_name_for_this_machine_is_refused_after_the_look_up() {
        let config = ureq::config::Config::default();
        let timeout =
            NextTimeout { after: ureq::unversioned::transport::time::Duration::NotHappening, ..NextTimeout::default() };
        let uri: Uri = "https://localhost/".parse().unwrap();
        let refusal = GuardedResolver::new(Policy::default()).resolve(&uri, &config, timeout).unwrap_err();
        assert!(refusal.to_string().contains("loopback address"), "{refusal}");
    }
}
